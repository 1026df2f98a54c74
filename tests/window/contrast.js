// Returns the visible texts whose contrast with what is behind them is below WCAG AA.
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((each, i) => a * each + (1 - a) * below[i]);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((each) => {
      const part = each / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const path = [];
    for (let at = element; at !== null; at = at.parentElement) path.unshift(at);
    return path.reduce(
      (below, at) => over(rgba(getComputedStyle(at).backgroundColor), below),
      over(rgba("Canvas"), [255, 255, 255]),
    );
  };
  const opacity = (element) => {
    let all = 1;
    for (let at = element; at !== null; at = at.parentElement) all *= getComputedStyle(at).opacity;
    return all;
  };
  const isShown = (element) => {
    const box = element.getBoundingClientRect();
    return (
      box.width > 1 &&
      box.height > 1 &&
      element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) &&
      element.closest("button:disabled, input:disabled, select:disabled, fieldset:disabled") === null
    );
  };
  const said = [];
  const check = (element, style, text) => {
    const below = behind(element);
    const [r, g, b, a] = rgba(style.color);
    const above = over([r, g, b, a * opacity(element)], below);
    const [high, low] = [luminance(above), luminance(below)].sort((one, other) => other - one);
    const contrast = (high + 0.05) / (low + 0.05);
    const size = Number.parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (contrast < (isLarge ? 3 : 4.5)) {
      said.push(`${contrast.toFixed(2)} ${element.tagName} .${element.className}: ${text.trim()}`);
    }
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (texts.nextNode()) {
    const { parentElement: element, data } = texts.currentNode;
    if (data.trim() === "" || !isShown(element)) continue;
    count += 1;
    check(element, getComputedStyle(element), data);
  }
  for (const input of document.querySelectorAll("input[placeholder]")) {
    if (isShown(input)) check(input, getComputedStyle(input, "::placeholder"), input.placeholder);
  }
  return count < 20 ? [`only ${count} texts are shown`] : said;
}
