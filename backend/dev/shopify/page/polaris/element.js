// The base of every element: its properties and events come from elements.json, its looks from
// `define`. The light DOM is left as the app made it; all that is drawn is in the shadow root.

const PIXELS = Object.fromEntries(
  SPACES.map((name, index) => [name, [0, 2, 4, 6, 8, 10, 12, 16, 20, 20, 24, 32, 40, 48][index]]));
const px = (text) =>
  words(text).map((word) => (word in PIXELS ? `${PIXELS[word]}px` : word)).join(" ");

const COMMON = sheet(`
  :host { display: block; box-sizing: border-box; min-width: 0;
    font: 13px/20px Inter, system-ui, sans-serif; color: #303030 }
  :host([hidden]), [hidden] { display: none !important }
  * { box-sizing: border-box }
  button, a, input, select, textarea { font: inherit; color: inherit }
  :focus-visible { outline: 2px solid #005bd3; outline-offset: 1px; border-radius: 8px }
  p, h1, h2, h3, h4, ul, ol { margin: 0; padding: 0 }
  .subdued { color: #616161 }
  .visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%); white-space: nowrap }
`);

function sheet(css) {
  const made = new CSSStyleSheet();
  made.replaceSync(css);
  return made;
}

/**
 * Define an element: `html` and `css` of its shadow root, `draw` to bring it up to date (with the
 * element as `this`), `start` for once, `members` for its prototype.
 */
function define(tag, { html = "<slot></slot>", css = "", draw, start, members = {}, ...options } = {}) {
  const { attributes, events } = ELEMENTS[tag];
  const own = sheet(css);
  class PolarisElement extends HTMLElement {
    static observedAttributes = Object.keys(attributes).map((name) => name.toLowerCase());
    static formAssociated = Boolean(options.isField);

    constructor() {
      super();
      this.root = this.attachShadow({ mode: "open", delegatesFocus: Boolean(options.takesFocus) });
      this.root.adoptedStyleSheets = [COMMON, own];
      this.root.innerHTML = html;
      this.root.addEventListener("slotchange", () => this.redraw());
      this.kept = {};
      if (options.isField) this.internals = this.attachInternals();
      start?.call(this);
    }
    $(selector) { return this.root.querySelector(selector); }
    connectedCallback() { this.redraw(); }
    attributeChangedCallback() { this.redraw(); }
    redraw() { if (this.isConnected) draw?.call(this); }
    addEventListener(type, ...rest) {
      checkListener(this, type);
      super.addEventListener(type, ...rest);
    }
    emit(type, init) { return this.dispatchEvent(new CustomEvent(type, init)); }
  }
  for (const [name, type] of Object.entries(attributes)) property(PolarisElement, name, type);
  for (const event of events) handlerProperty(PolarisElement, event);
  Object.defineProperties(PolarisElement.prototype, Object.getOwnPropertyDescriptors(members));
  customElements.define(tag, PolarisElement);
}

// As an attribute, if it can be one: what the app reads and what the styles see are the same then.
function property({ prototype }, name, type) {
  const read = {
    boolean: (element) => element.hasAttribute(name),
    number: (element) => Number(element.getAttribute(name)),
    "string[]": (element) => element.kept[name] ?? [],
    "File[]": (element) => element.kept[name] ?? [],
  }[type] ?? ((element) => element.getAttribute(name) ?? "");
  const write = {
    boolean: (element, value) => element.toggleAttribute(name, Boolean(value)),
    "string[]": (element, value) => { element.kept[name] = value || []; element.redraw(); },
    "File[]": (element, value) => { element.kept[name] = value || []; element.redraw(); },
  }[type] ?? ((element, value) => {
    if (value === "" || value === null || value === undefined) element.removeAttribute(name);
    else element.setAttribute(name, value);
  });
  Object.defineProperty(prototype, name, {
    configurable: true, enumerable: true,
    get() { return read(this); },
    set(value) { checkProperty(this, name, type, value); write(this, value); },
  });
}

function handlerProperty({ prototype }, event) {
  const key = Symbol(event);
  Object.defineProperty(prototype, `on${event}`, {
    configurable: true, enumerable: true,
    get() { return this[key] ?? null; },
    set(handler) {
      if (this[key]) this.removeEventListener(event, this[key]);
      this[key] = handler;
      if (handler) this.addEventListener(event, handler);
    },
  });
}

/** Set the text of a part of the shadow root, and hide the part when there is none. */
function tell(element, selector, text) {
  const part = element.$(selector);
  part.textContent = text;
  part.hidden = !text;
}

/** Set or remove an attribute of a part of the shadow root. */
function mark(part, name, value) {
  if (value === "" || value === false || value === null || value === undefined)
    part.removeAttribute(name);
  else part.setAttribute(name, value === true ? "" : value);
}
