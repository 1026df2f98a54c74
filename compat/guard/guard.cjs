// Keeps a Node program on this machine, as sitecustomize.py does with a Python program: every
// connection to another machine, and every lookup of its name, is written to the file that
// COMPAT_GUARD names, and refused before anything is sent.

"use strict";

const dgram = require("node:dgram");
const dns = require("node:dns");
const fs = require("node:fs");
const net = require("node:net");
const { syncBuiltinESMExports } = require("node:module");

const log = process.env.COMPAT_GUARD;
const said = new Set();

function record(text) {
  if (!said.has(text)) fs.appendFileSync(log, `${text}\n`);
  said.add(text);
}

function isHere(host) {
  const name = String(host ?? "localhost").toLowerCase().replace(/\.$/, "").replace(/^::ffff:/, "");
  if (net.isIPv4(name)) return name.startsWith("127.") || name === "0.0.0.0";
  return name === "" || name === "localhost" || name === "::1" || name === "::";
}

function refusal(what, host) {
  record(`${what} ${host}`);
  const error = new Error(`${host} is not this machine, and compat stays on it`);
  return Object.assign(error, { code: "ENETUNREACH" });
}

function guardConnections() {
  const connect = net.Socket.prototype.connect;
  net.Socket.prototype.connect = function guarded(...args) {
    const [first, second] = Array.isArray(args[0]) ? args[0] : args;
    const options = typeof first === "object" && first !== null ? first : { host: second };
    const isUnix = options.path || (typeof first === "string" && Number.isNaN(Number(first)));
    const host = typeof options.host === "function" ? undefined : options.host;
    if (isUnix || isHere(host)) return connect.apply(this, args);
    process.nextTick(() => this.destroy(refusal("connect", `${host}:${options.port ?? first}`)));
    return this;
  };
  for (const method of ["send", "connect"]) {
    const original = dgram.Socket.prototype[method];
    dgram.Socket.prototype[method] = function guarded(...args) {
      const host = args.slice(1).find((each) => typeof each === "string");
      if (!isHere(host)) throw refusal(method, host);
      return original.apply(this, args);
    };
  }
}

function guardLookups() {
  for (const name of Object.keys(dns).filter((each) => /^(lookup|resolve)/.test(each))) {
    if (typeof dns[name] !== "function") continue;
    const original = dns[name];
    dns[name] = function guarded(host, ...rest) {
      if (isHere(host)) return original.call(this, host, ...rest);
      return process.nextTick(rest.at(-1), refusal(name, host));
    };
    const promised = dns.promises[name];
    if (promised) {
      dns.promises[name] = async function guarded(host, ...rest) {
        if (!isHere(host)) throw refusal(name, host);
        return promised.call(this, host, ...rest);
      };
    }
  }
}

if (log) {
  record("guarded");
  guardConnections();
  guardLookups();
  syncBuiltinESMExports();
}
