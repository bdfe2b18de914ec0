// Pages, sections and boxes. A box draws its box inside its shadow root, where its role can be an
// attribute, and is itself no box at all (`display: contents`).

const ROLES = { "list-item": "listitem", "ordered-list": "list", "unordered-list": "list",
  header: "banner", footer: "contentinfo", aside: "complementary" };
const BACKGROUNDS = { subdued: "#f7f7f7", base: "#fff", strong: "#ebebeb" };

function drawBox() {
  const box = this.$(".box");
  const { style } = box;
  style.padding = px(this.padding || "none");
  const sides = { paddingBlock: "paddingBlock", paddingInline: "paddingInline",
    paddingBlockStart: "paddingBlockStart", paddingBlockEnd: "paddingBlockEnd",
    paddingInlineStart: "paddingInlineStart", paddingInlineEnd: "paddingInlineEnd" };
  for (const name of Object.keys(sides)) if (this[name]) style[name] = px(this[name]);
  style.background = BACKGROUNDS[this.background] ?? "";
  const line = this.border.includes("strong") ? "#8a8a8a" : "#e3e3e3";
  style.border = this.border && this.border !== "none" ? `1px solid ${line}` : "";
  style.borderRadius = this.borderRadius === "max" ? "999px" : px(this.borderRadius || "none");
  for (const name of ["blockSize", "minBlockSize", "maxBlockSize", "inlineSize", "minInlineSize",
    "maxInlineSize", "overflow"])
    style[name] = this[name];
  box.hidden = this.display === "none";
  box.classList.toggle("visually-hidden", this.accessibilityVisibility === "exclusive");
  mark(box, "aria-hidden", this.accessibilityVisibility === "hidden" && "true");
  mark(box, "aria-label", this.accessibilityLabel);
  mark(box, "role", ROLES[this.accessibilityRole] ?? this.accessibilityRole);
}

function drawFlow() {
  drawBox.call(this);
  const { style } = this.$(".box");
  style.gap = px(this.gap || "none");
  if (this.rowGap) style.rowGap = px(this.rowGap);
  if (this.columnGap) style.columnGap = px(this.columnGap);
  for (const name of ["alignItems", "alignContent", "justifyContent"]) style[name] = this[name];
}

const BOX = '<div class="box"><slot></slot></div>';
const CONTENTS = ":host { display: contents } .box { min-width: 0 }";

define("s-box", { html: BOX, css: CONTENTS, draw: drawBox });
define("s-stack", {
  html: BOX,
  css: `${CONTENTS} .box { display: flex; flex-direction: column }
    .inline { flex-flow: row wrap }`,
  draw() {
    drawFlow.call(this);
    this.$(".box").classList.toggle("inline", this.direction === "inline");
  },
});
define("s-grid", {
  html: BOX,
  css: `${CONTENTS} .box { display: grid }`,
  draw() {
    drawFlow.call(this);
    const { style } = this.$(".box");
    for (const name of ["gridTemplateColumns", "gridTemplateRows", "justifyItems"])
      style[name] = this[name];
  },
});
define("s-grid-item", {
  html: BOX,
  css: CONTENTS,
  draw() {
    drawBox.call(this);
    Object.assign(this.$(".box").style, { gridColumn: this.gridColumn, gridRow: this.gridRow });
  },
});
define("s-query-container", { css: ":host { container-type: inline-size }" });
define("s-divider", {
  html: "<hr>", css: "hr { margin: 0; border: 0; border-top: 1px solid #ebebeb }",
});

/** A heading's level follows from the sections around it that have a heading of their own. */
function headingLevel(element) {
  let level = 2;
  for (let at = element.parentElement; at; at = at.parentElement)
    if (at.localName === "s-section" && at.hasAttribute("heading")) level += 1;
  return String(level);
}

define("s-page", {
  html: `<main><h1 class="visually-hidden"></h1><slot name="supplemental-start"></slot>
    <div class="columns"><div class="column"><slot></slot></div>
    <aside class="column" aria-label="Details"><slot name="aside"></slot></aside></div>
    <div hidden><slot name="primary-action"></slot><slot name="secondary-actions"></slot>
    <slot name="breadcrumb-actions"></slot><slot name="accessory"></slot></div></main>`,
  css: `main { max-width: 1000px; margin: 0 auto; padding: 0 24px 24px }
    .small { max-width: 660px } .large { max-width: none }
    .columns { display: grid; gap: 16px; grid-template-columns: minmax(0, 1fr) }
    .two { grid-template-columns: minmax(0, 2fr) minmax(0, 1fr) }
    .column { display: grid; gap: 16px; align-content: start; min-width: 0 }
    @media (max-width: 600px) {
      main { padding: 0 0 16px } .two { grid-template-columns: minmax(0, 1fr) } }`,
  draw() {
    this.$("h1").textContent = this.heading;
    this.$("main").className = this.inlineSize;
    const hasAside = Boolean(this.querySelector(':scope > [slot="aside"]'));
    this.$(".columns").classList.toggle("two", hasAside);
    this.$("aside").hidden = !hasAside;
  },
});

define("s-section", {
  html: `<section><header><slot name="graphic"></slot><h2></h2><slot name="accessory"></slot>
    <span class="space"></span><slot name="secondary-actions"></slot>
    <slot name="primary-action"></slot></header><p class="subdued"></p>
    <slot name="supplemental"></slot><div class="body"><slot></slot></div></section>`,
  css: `section { display: grid; gap: 12px; padding: 16px; border-radius: 12px; background: #fff;
      box-shadow: 0 1px 0 #1a1a1a12, 0 0 0 1px #ebebeb; grid-template-columns: minmax(0, 1fr) }
    header { display: flex; flex-wrap: wrap; align-items: center; gap: 8px }
    h2 { font-size: 14px; font-weight: 650 } .space { flex: 1 }
    .body { display: grid; gap: 12px; grid-template-columns: minmax(0, 1fr); min-width: 0 }
    .none { padding: 0 } .none header { padding: 16px 16px 0 } .none p { padding: 0 16px }
    @media (max-width: 600px) { section { border-radius: 0 } }`,
  draw() {
    tell(this, "h2", this.heading);
    tell(this, "p", this.subheading);
    const hasActions = this.querySelector(':scope > [slot$="-action"], :scope > [slot$="-actions"]');
    this.$("header").hidden = !this.heading && !hasActions;
    const section = this.$("section");
    section.className = this.padding;
    mark(section, "aria-label", this.accessibilityLabel || this.heading);
  },
});

define("s-empty-state", {
  html: `<slot name="graphic"></slot><div class="heading" role="heading"></div>
    <slot name="subheading"></slot>
    <div class="actions"><slot name="secondary-actions"></slot>
    <slot name="primary-action"></slot></div>`,
  css: `:host { padding: 32px 16px; text-align: center } .heading { font-size: 14px; font-weight: 650 }
    .actions { display: flex; gap: 8px; justify-content: center; margin-top: 12px }`,
  draw() {
    tell(this, ".heading", this.heading);
    mark(this.$(".heading"), "aria-level", headingLevel(this));
  },
});
