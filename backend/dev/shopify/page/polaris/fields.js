// Fields with a label, an error and details. `value` is what is in the field; the attribute only
// says how it begins.

const FIELD_CSS = `
  .control { width: 100%; min-height: 32px; padding: 5px 12px; border: 1px solid #8a8a8a;
    border-radius: 8px; background: #fdfdfd }
  .around { display: flex; gap: 8px; align-items: center }
  .label { display: block; margin-bottom: 4px }
  .error { color: #8e1f0b } .details { color: #616161 }
  [aria-invalid=true] { border-color: #8e1f0b; background: #fee8eb }`;
const FOOT = `<div class="error" id="error"></div><slot name="error"></slot>
  <div class="details" id="details"></div><slot name="details"></slot>`;
const LABEL = '<label class="label" for="control"></label>';

function drawField() {
  const control = this.$(".control");
  control.id = "control";
  tell(this, ".label", this.label);
  this.$(".label").classList.toggle(
    "visually-hidden", this.labelAccessibilityVisibility === "exclusive");
  tell(this, ".error", this.error);
  tell(this, ".details", this.error ? "" : this.details);
  mark(control, "aria-invalid", this.error && "true");
  mark(control, "aria-describedby", this.error || this.details ? "error details" : "");
  control.disabled = this.disabled;
  control.required = this.required;
  for (const name of ["placeholder", "min", "max", "step", "inputmode", "minlength", "maxlength",
    "rows", "autocomplete", "readonly"])
    if (this.hasAttribute(name)) control.setAttribute(name, this.getAttribute(name));
    else control.removeAttribute(name);
}

// The control's `input` leaves the shadow root by itself, its `change` does not.
function startField() {
  const control = this.$(".control");
  const keep = () => this.internals.setFormValue(control.value);
  control.addEventListener("input", keep);
  control.addEventListener("change", () => { keep(); this.emit("change", { bubbles: true }); });
}

const fieldValue = {
  get value() { return this.$(".control").value; },
  set value(value) {
    checkProperty(this, "value", "string", value);
    const text = value ?? "";
    if (this.$(".control").value !== text) this.$(".control").value = text;
    this.internals.setFormValue(text);
  },
  attributeChangedCallback(name, old, value) {
    if (name === "value") this.value = value ?? "";
    this.redraw();
  },
};

const affix = (name) => `<span class="${name}"></span>`;
const input = (type) => `${LABEL}<div class="around">${affix("prefix")}
  <input class="control" type="${type}">${affix("suffix")}</div>${FOOT}`;

for (const [tag, type] of [["s-text-field", "text"], ["s-number-field", "number"],
  ["s-search-field", "search"], ["s-color-field", "text"]])
  define(tag, {
    isField: true, takesFocus: true, html: input(type), css: FIELD_CSS, start: startField,
    members: fieldValue,
    draw() {
      drawField.call(this);
      tell(this, ".prefix", this.prefix ?? "");
      tell(this, ".suffix", this.suffix ?? "");
    },
  });
define("s-text-area", {
  isField: true, takesFocus: true, html: `${LABEL}<textarea class="control"></textarea>${FOOT}`,
  css: FIELD_CSS, start: startField, members: fieldValue, draw: drawField,
});

// -- select

define("s-option", {});
define("s-option-group", {});
define("s-select", {
  isField: true, takesFocus: true, css: FIELD_CSS,
  html: `${LABEL}<select class="control"></select><slot hidden></slot>${FOOT}`,
  start() {
    startField.call(this);
    new MutationObserver(() => this.redraw())
      .observe(this, { subtree: true, childList: true, characterData: true, attributes: true });
  },
  members: {
    get value() { return this.$("select").value; },
    set value(value) {
      checkProperty(this, "value", "string", value);
      this.kept.value = value ?? "";
      this.$("select").value = this.kept.value;
      this.internals.setFormValue(this.kept.value);
    },
    attributeChangedCallback(name, old, value) {
      if (name === "value") this.kept.value = value ?? "";
      this.redraw();
    },
  },
  draw() {
    const select = this.$("select");
    const now = this.kept.value ?? select.value;
    select.replaceChildren(
      ...(this.placeholder ? [nativeOption({ value: "", textContent: this.placeholder })] : []),
      ...[...this.children].filter((each) => !each.slot).map(nativeOption),
    );
    drawField.call(this);
    if ([...select.options].some(({ value }) => value === now)) select.value = now;
    else if (now) complain(`<s-select value="${now}"> has no such option`);
    this.kept.value = select.value;
  },
});

function nativeOption(option) {
  if (option.localName === "s-option-group") {
    const group = document.createElement("optgroup");
    group.label = option.label;
    group.append(...[...option.children].map(nativeOption));
    return group;
  }
  const made = new Option(option.textContent.trim(), option.value, option.selected, option.selected);
  made.disabled = Boolean(option.disabled);
  return made;
}

// -- what is on or off

function startToggle() {
  const control = this.$(".control");
  control.addEventListener("change", () => {
    this.checked = control.checked;
    this.emit("change", { bubbles: true });
  });
}
function drawToggle() {
  drawField.call(this);
  const control = this.$(".control");
  control.checked = this.checked;
  control.indeterminate = Boolean(this.indeterminate);
  mark(control, "aria-label", this.accessibilityLabel);
}
const TOGGLE_CSS = `${FIELD_CSS} .row { display: flex; gap: 8px; align-items: center;
    min-height: 24px } .label { margin: 0 }
  .control { width: 18px; min-height: 18px; height: 18px; margin: 3px; accent-color: #303030 }
  [role=switch] { width: 32px }`;

for (const [tag, role] of [["s-checkbox", ""], ["s-switch", 'role="switch"']])
  define(tag, {
    isField: true, takesFocus: true, css: TOGGLE_CSS, start: startToggle, draw: drawToggle,
    html: `<label class="row"><input class="control" type="checkbox" ${role}>
      <span class="label"></span></label>${FOOT}`,
  });

// The choices' inputs are drawn together, so that they are one group for keyboard and reader.
define("s-choice", {});
define("s-choice-list", {
  isField: true, takesFocus: true,
  html: `<fieldset><legend class="label"></legend><div class="choices"></div></fieldset>
    <slot hidden></slot><div class="error"></div><div class="details"></div>`,
  css: `${FIELD_CSS} fieldset { margin: 0; padding: 0; border: 0 } legend { padding: 0 }
    .choices label { display: flex; gap: 8px; align-items: center; min-height: 24px }
    .choices input { width: 18px; height: 18px; margin: 3px; accent-color: #303030 }`,
  start() {
    new MutationObserver(() => this.redraw())
      .observe(this, { subtree: true, childList: true, characterData: true, attributes: true });
    this.$(".choices").addEventListener("change", () => {
      this.kept.values = [...this.root.querySelectorAll("input:checked")].map(({ value }) => value);
      this.emit("change", { bubbles: true });
    });
  },
  draw() {
    tell(this, ".label", this.label);
    this.$(".label").classList.toggle(
      "visually-hidden", this.labelAccessibilityVisibility === "exclusive");
    tell(this, ".error", this.error);
    tell(this, ".details", this.error ? "" : this.details);
    const chosen = this.kept.values ??
      [...this.querySelectorAll("s-choice[selected]")].map(({ value }) => value);
    const focused = this.root.activeElement?.value;
    this.$(".choices").replaceChildren(
      ...[...this.querySelectorAll("s-choice")].map((choice) => nativeChoice(this, choice, chosen)));
    if (focused) this.$(`input[value="${CSS.escape(focused)}"]`)?.focus();
  },
});

function nativeChoice(list, choice, chosen) {
  const control = Object.assign(document.createElement("input"), {
    type: list.multiple ? "checkbox" : "radio", name: "choice", value: choice.value,
    checked: chosen.includes(choice.value), disabled: Boolean(list.disabled || choice.disabled),
  });
  const label = document.createElement("label");
  const own = [...choice.childNodes].filter(({ slot }) => !slot);
  label.append(control, own.map(({ textContent }) => textContent).join("").trim());
  const details = choice.querySelector('[slot="details"]')?.textContent;
  if (details) label.append(Object.assign(
    document.createElement("span"), { className: "details", textContent: details }));
  return label;
}

// -- files

define("s-drop-zone", {
  isField: true, takesFocus: true,
  html: `<label class="zone"><span class="label"></span><input class="control" type="file">
    <slot></slot></label><div class="error" id="error"></div>`,
  css: `${FIELD_CSS} .zone { display: grid; gap: 8px; justify-items: center; padding: 24px;
      grid-template-columns: minmax(0, 1fr);
      border: 1px dashed #8a8a8a; border-radius: 8px; background: #fdfdfd; cursor: pointer }
    .control { border: 0; width: auto; max-width: 100% }`,
  start() {
    const zone = this.$(".zone");
    this.$(".control").addEventListener("change", () => this.take([...this.$(".control").files]));
    zone.addEventListener("dragover", (event) => event.preventDefault());
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      this.take([...event.dataTransfer.files]);
    });
  },
  members: {
    take(files) {
      const [good, bad] = [[], []];
      for (const file of this.multiple ? files : files.slice(0, 1))
        (accepts(this.accept, file) ? good : bad).push(file);
      if (bad.length) this.emit("droprejected", { detail: { files: bad } });
      if (!good.length) return;
      this.files = good;
      this.emit("input", { bubbles: true });
      this.emit("change", { bubbles: true });
    },
  },
  draw() {
    const control = this.$(".control");
    tell(this, ".label", this.label);
    tell(this, ".error", this.error);
    control.disabled = this.disabled;
    control.multiple = this.multiple;
    mark(control, "accept", this.accept);
    mark(control, "aria-label", this.accessibilityLabel);
    mark(control, "aria-describedby", this.error && "error");
  },
});

function accepts(accept, { name, type }) {
  if (!accept) return true;
  return accept.split(",").map((each) => each.trim()).some((each) =>
    each.startsWith(".") ? name.toLowerCase().endsWith(each.toLowerCase())
      : each.endsWith("/*") ? type.startsWith(each.slice(0, -1)) : each === type);
}
