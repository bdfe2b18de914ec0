// Buttons and links. Inside is a real button, or a real link when there is an `href`.

/** Exchange the inner control when it has become the other kind; returns it. */
function innerControl(element) {
  const wanted = element.href ? "a" : "button";
  const control = element.$(".control");
  if (control.localName === wanted) return control;
  const made = document.createElement(wanted);
  made.className = control.className;
  made.append(...control.childNodes);
  control.replaceWith(made);
  return made;
}

function drawControl() {
  const control = innerControl(this);
  const isOff = Boolean(this.disabled || this.loading);
  mark(control, "href", this.href);
  mark(control, "target", this.target === "auto" ? "" : this.target);
  mark(control, "download", this.download);
  mark(control, "aria-label", this.accessibilityLabel);
  mark(control, "aria-busy", this.loading && "true");
  if (control.localName === "button") {
    control.type = "button";
    control.disabled = isOff;
  }
  return control;
}

// After the app's own listeners, which can prevent it.
function runCommands() {
  this.addEventListener("click", (event) => queueMicrotask(() => {
    if (event.defaultPrevented || this.disabled || this.loading) return;
    if (this.type === "submit") this.closest("form")?.requestSubmit();
    const overlay = document.getElementById(this.commandFor);
    if (!overlay) return;
    const method = { "--show": "showOverlay", "--hide": "hideOverlay" }[this.command];
    if (overlay[method ?? "toggleOverlay"]) overlay[method ?? "toggleOverlay"]();
    else complain(`<${overlay.localName}> has no ${this.command || "--auto"}`);
  }));
}

// As a person clicks: on what is inside. The event comes out of the shadow root by itself.
const clickable = { click() { this.$(".control").click(); } };

const BUTTON_CSS = `:host { display: inline-block }
  .control { display: inline-flex; width: 100%; min-height: 28px; padding: 4px 12px; gap: 4px;
    align-items: center; justify-content: center; border: 1px solid #ccc; border-radius: 8px;
    background: #fff; color: #303030; font-weight: 600; font-size: 12px; text-decoration: none;
    cursor: pointer }
  .primary { border-color: #303030; background: #303030; color: #fff }
  .tertiary { border-color: transparent; background: none }
  .critical { color: #8e1f0b } .primary.critical { background: #c70a24; color: #fff }
  .control:disabled { background: #ebebeb; border-color: #ebebeb; color: #616161; cursor: default }
  [aria-pressed=true] { background: #e3e3e3; border-color: #8a8a8a }
  :host([inlinesize=fill]) { display: block }`;

const BUTTON =
  '<button class="control"><span aria-hidden="true"></span><slot></slot></button>';

define("s-button", {
  takesFocus: true, html: BUTTON,
  css: BUTTON_CSS, members: clickable, start: runCommands,
  draw() {
    const control = drawControl.call(this);
    control.className = `control ${this.variant} ${this.tone}`;
    tell(this, "span", ICONS[this.icon] ?? "");
    const hasName = this.accessibilityLabel || this.textContent.trim();
    if (!hasName && this.icon) complain("<s-button icon> without text needs accessibilityLabel");
  },
});
define("s-press-button", {
  takesFocus: true, html: BUTTON,
  css: BUTTON_CSS, members: clickable,
  draw() {
    const control = drawControl.call(this);
    control.className = `control ${this.variant}`;
    mark(control, "aria-pressed", String(this.pressed));
    tell(this, "span", ICONS[this.icon] ?? "");
  },
});
define("s-link", {
  takesFocus: true, html: '<button class="control"><slot></slot></button>', members: clickable,
  css: `:host { display: inline } .control { color: #005bd3; text-decoration: underline }
    button { padding: 0; border: 0; background: none; cursor: pointer; min-height: 24px }
    .critical { color: #8e1f0b } .neutral { color: inherit }`,
  start: runCommands,
  draw() { drawControl.call(this).className = `control ${this.tone}`; },
});
define("s-clickable", {
  takesFocus: true, members: clickable, start: runCommands,
  html: '<button class="control box"><slot></slot></button>',
  css: `${CONTENTS} .control { display: block; width: 100%; padding: 0; border: 0; background: none;
      text-align: inherit; text-decoration: none; cursor: pointer }`,
  draw() { drawControl.call(this); drawBox.call(this); },
});
define("s-button-group", {
  html: `<div role="group"><slot name="primary-action"></slot><slot></slot>
    <slot name="secondary-actions"></slot></div>`,
  css: "div { display: flex; flex-wrap: wrap; gap: 8px } .none { gap: 0 }",
  draw() {
    this.$("div").className = this.gap;
    mark(this.$("div"), "aria-label", this.accessibilityLabel);
  },
});
