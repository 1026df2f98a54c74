from __future__ import annotations

import re

import msgspec
import pytest
from alert_rules import alerts
from msgspec import Struct
from promtool import FOLDER, promtool, with_promtool

CASES = FOLDER / "prometheus-alerts.test.yml"
FIRING = 'ALERTS{alertstate="firing"}'


class Sample(Struct, forbid_unknown_fields=True):
    labels: str
    value: int


class Evaluation(Struct, forbid_unknown_fields=True):
    expr: str
    eval_time: str
    exp_samples: list[Sample]


class Series(Struct, forbid_unknown_fields=True):
    series: str
    values: str


class Case(Struct, forbid_unknown_fields=True):
    name: str
    interval: str
    input_series: list[Series]
    promql_expr_test: list[Evaluation]


class CaseFile(Struct, forbid_unknown_fields=True):
    rule_files: list[str]
    evaluation_interval: str
    tests: list[Case]


def cases() -> list[Case]:
    return msgspec.yaml.decode(CASES.read_bytes(), type=CaseFile).tests


@with_promtool
@pytest.mark.slow("promtool is run")
def test_prometheus_can_read_the_rules() -> None:
    printed = promtool("check", "rules", "--lint-fatal", "prometheus-alerts.yml")
    assert f"{len(alerts())} rules found" in printed


@with_promtool
@pytest.mark.slow("promtool is run")
def test_each_alert_fires_when_it_should_and_not_otherwise() -> None:
    promtool("test", "rules", CASES.name)


def test_each_alert_has_a_case_in_which_it_is_quiet_first_and_then_fires_alone() -> None:
    assert [case.name for case in cases()] == [rule.alert for rule in alerts()]
    for case in cases():
        quiet, fires, *later = case.promql_expr_test
        assert {each.expr for each in case.promql_expr_test} == {FIRING}
        assert not quiet.exp_samples, case.name
        (sample,) = fires.exp_samples
        assert f'alertname="{case.name}"' in sample.labels
        assert not any(each.exp_samples for each in later), case.name


def test_what_an_alert_says_names_labels_that_it_has() -> None:
    samples = {case.name: case.promql_expr_test[1].exp_samples[0].labels for case in cases()}
    for rule in alerts():
        for label in re.findall(r"\$labels\.(\w+)", rule.annotations.summary):
            assert f'{label}="' in samples[rule.alert], f"{rule.alert} has no label {label}"


def test_every_alert_waits_and_says_how_bad_it_is_and_where_to_read_on() -> None:
    for rule in alerts():
        assert re.fullmatch(r"\d+[smh]", rule.lasting), rule.alert
        assert rule.labels.severity in {"critical", "warning", "info"}, rule.alert
        assert re.fullmatch(r"docs/[\w/-]+\.md#[\w-]+", rule.annotations.runbook), rule.alert
        for text in (rule.annotations.summary, rule.annotations.description):
            assert text.endswith("."), rule.alert
