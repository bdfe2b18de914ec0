// What the real Polaris ignores is an error here, so that a test sees it. `ELEMENTS` is
// elements.json: each element's attributes with their types, its slots with what may be in them,
// and its events. `ICONS` is icons.json: a sign for each icon that the page uses, of some 600.

const SPACES = ["none", "small-500", "small-400", "small-300", "small-200", "small-100", "small",
  "base", "large", "large-100", "large-200", "large-300", "large-400", "large-500"];
const RADII = ["none", "small-200", "small-100", "small", "base", "large", "large-100",
  "large-200", "max"];
const BORDER_WORDS = ["none", "base", "small", "small-100", "large", "large-100", "subdued", "strong",
  "auto", "solid", "dashed", "dotted"];
const GLOBAL = new Set(["id", "slot", "lang", "dir", "hidden"]);
const DOM_EVENTS = new RegExp(`^(${["click", "dblclick", "key", "pointer", "mouse", "touch", "focus",
  "blur", "drag", "drop", "paste", "copy", "wheel", "scroll", "transition", "animation",
  "contextmenu", "shopify:"].join("|")})`);

const complain = (text) => console.error(`Polaris (stand-in): ${text}`);
const words = (text) => text.trim().split(/\s+/);

const SHAPES = {
  string: () => true,
  boolean: () => true,
  number: (text) => text !== "" && Number.isFinite(Number(text)),
  space: (text) => SPACES.includes(text),
  spaces: (text) => text.startsWith("@container") || few(text, 4, (word) => SPACES.includes(word)),
  radii: (text) => few(text, 4, (word) => RADII.includes(word)),
  length: (text) => /^(auto|none|0|\d+(\.\d+)?(px|%))$/.test(text),
  border: (text) => few(text, 3, (word) => BORDER_WORDS.includes(word)),
  ratio: (text) => /^\d+(\.\d+)?( ?\/ ?\d+(\.\d+)?)?$/.test(text),
  align: (text) => /^((safe |unsafe )?(center|start|end)|((first|last) )?baseline|normal|stretch)$/
    .test(text),
  justify: (text) => SHAPES.align(text) || /^space-(between|around|evenly)$/.test(text),
  icon: (text) => Object.hasOwn(ICONS, text),
};

const few = (text, most, isRight) => words(text).length <= most && words(text).every(isRight);

function isValue(type, text) {
  return SHAPES[type]?.(text) ?? (text === "" || type.split("|").includes(text));
}

const KINDS = {
  boolean: (value) => typeof value === "boolean",
  number: (value) => typeof value === "number" || SHAPES.number(value),
  "string[]": (value) => Array.isArray(value) && value.every((each) => typeof each === "string"),
  "File[]": (value) => Array.isArray(value) || value instanceof FileList,
};

// Preact sets "" to take a property away.
function checkProperty(element, name, type, value) {
  if (value === "" || value === null || value === undefined) return;
  const isKind = KINDS[type] ?? ((each) => typeof each === "string");
  if (!isKind(value)) complain(`<${element.localName}> ${name} is a ${typeof value}, not ${type}`);
}

function checkAttributes(element) {
  const { attributes } = ELEMENTS[element.localName];
  const names = Object.keys(attributes);
  const byName = Object.fromEntries(names.map((name) => [name.toLowerCase(), name]));
  for (const { name, value } of element.attributes) {
    const known = byName[name];
    if (known && !isValue(attributes[known], value))
      complain(`<${element.localName} ${known}="${value}"> is not ${attributes[known]}`);
    const isHome = name === "rel" && element.parentElement?.localName === "s-app-nav";
    if (!known && !isHome && !GLOBAL.has(name) && !name.startsWith("data-"))
      complain(`<${element.localName}> has no attribute "${name}"`);
  }
}

function checkListener(element, type) {
  const { events } = ELEMENTS[element.localName];
  if (!events.includes(type) && !DOM_EVENTS.test(type))
    complain(`<${element.localName}> has no event "${type}"`);
}

// -- places in the tree

function checkPlace(element) {
  const parent = element.parentElement;
  const slots = ELEMENTS[parent?.localName]?.slots;
  if (!slots) return;
  const slot = element.slot;
  const where = slot ? `slot "${slot}" of <${parent.localName}>` : `<${parent.localName}>`;
  if (!(slot in slots)) complain(`<${element.localName}>: there is no ${where}`);
  else if (slots[slot] !== "*" && !words(slots[slot]).includes(element.localName))
    complain(`<${element.localName}> cannot be in ${where}, only ${slots[slot]}`);
  if (parent.localName === "s-page") checkPageAction(element, slot);
}

function checkPageAction(element, slot) {
  if (element.localName !== "s-button") return;
  const secondary = ["", "auto", "secondary"];
  const wanted = { "primary-action": ["primary"], "secondary-actions": secondary }[slot];
  if (wanted && !wanted.includes(element.variant))
    complain(`<s-page> wants variant ${wanted.at(-1)} in its ${slot}, not "${element.variant}"`);
  if (slot === "primary-action" && element.parentElement.querySelectorAll(
    ':scope > [slot="primary-action"]').length > 1)
    complain("<s-page> has one primary action");
}

function checkText(node) {
  const slots = ELEMENTS[node.parentElement?.localName]?.slots;
  if (slots && slots[""] !== "*" && node.data.trim())
    complain(`<${node.parentElement.localName}> shows no text of its own: "${node.data.trim()}"`);
}

function checkReferences(element) {
  for (const name of ["commandfor", "interestfor"]) {
    const id = element.getAttribute(name);
    if (id && !document.getElementById(id))
      complain(`<${element.localName} ${name}="${id}">: no element has this id`);
  }
}

// -- what changes in the document is checked once it is whole

const touched = new Set();

function check(node) {
  if (node.nodeType === Node.TEXT_NODE) return checkText(node);
  if (node.nodeType !== Node.ELEMENT_NODE) return undefined;
  checkPlace(node);
  if (!node.localName.startsWith("s-") || node.localName === "s-app-nav") return undefined;
  if (!ELEMENTS[node.localName])
    return complain(`<${node.localName}> is no element of Polaris, or the stand-in lacks it`);
  checkAttributes(node);
  return checkReferences(node);
}

function withDescendants(node) {
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  const found = [node];
  while (walker.nextNode()) found.push(walker.currentNode);
  return found;
}

function checkTouched() {
  if (document.readyState === "loading") return;  // a parent may still get its children
  for (const node of touched) if (node.isConnected) check(node);
  touched.clear();
}

new MutationObserver((changes) => {
  for (const { type, target, addedNodes } of changes)
    if (type !== "childList") touched.add(target);
    else for (const each of [...addedNodes].flatMap(withDescendants)) touched.add(each);
  checkTouched();
}).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
document.addEventListener("readystatechange", checkTouched);
