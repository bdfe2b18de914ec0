// Text, lists, badges, icons, pictures and progress.

const COLORS = { success: "#0c5132", critical: "#8e1f0b", caution: "#4f4700", warning: "#5e4200",
  info: "#003a5a" };
const TINTS = { success: "#cdfee1", critical: "#fedad9", caution: "#fff8db", warning: "#ffd6a4",
  info: "#eaf4ff" };
const WEIGHTS = { medium: 550, semibold: 650, bold: 700 };
const FONT_SIZES = { "small-200": "10px", "small-100": "11px", small: "12px", large: "14px",
  "large-100": "16px", "large-200": "20px", "large-300": "24px", "large-400": "30px" };

function drawWords() {
  const part = this.$(".words");
  Object.assign(part.style, {
    color: this.color === "subdued" ? "#616161" : COLORS[this.tone] ?? "",
    fontSize: FONT_SIZES[this.fontSize] ?? "",
    fontWeight: WEIGHTS[this.fontWeight] ?? (this.type === "strong" ? 650 : ""),
    fontVariantNumeric: this.fontVariantNumeric === "auto" ? "" : this.fontVariantNumeric,
    textDecoration: this.type === "redundant" ? "line-through" : "",
  });
  part.classList.toggle("visually-hidden", this.accessibilityVisibility === "exclusive");
  mark(part, "aria-hidden", this.accessibilityVisibility === "hidden" && "true");
}

define("s-text", {
  html: '<span class="words"><slot></slot></span>', css: ":host { display: inline }",
  draw: drawWords,
});
define("s-paragraph", { html: '<p class="words"><slot></slot></p>', draw: drawWords });

define("s-heading", {
  html: '<div class="words" role="heading"><slot></slot></div>',
  css: ".words { font-size: 13px; font-weight: 650 }",
  draw() {
    const heading = this.$(".words");
    mark(heading, "aria-level", headingLevel(this));
    mark(heading, "role", this.accessibilityRole === "" ? "heading" : this.accessibilityRole);
    heading.classList.toggle("visually-hidden", this.accessibilityVisibility === "exclusive");
    if (this.fontSize) heading.style.fontSize = FONT_SIZES[this.fontSize] ?? "";
  },
});

for (const [tag, type] of [["s-unordered-list", "disc"], ["s-ordered-list", "decimal"]])
  define(tag, {
    html: '<div role="list"><slot></slot></div>',
    css: `div { counter-reset: item; padding-left: 20px; list-style: ${type} }`,
  });
define("s-list-item", {
  html: '<div role="listitem"><slot></slot></div>',
  css: ":host { display: list-item }", // the hosts are siblings, so that they are counted
});

define("s-badge", {
  html: "<span><slot></slot></span>",
  css: `:host { display: inline-block }
    span { padding: 0 8px; border-radius: 8px; background: #e3e3e3; font-size: 12px;
      white-space: nowrap; display: inline-block }`,
  draw() {
    const { style } = this.$("span");
    style.background = TINTS[this.tone] ?? "";
    style.color = COLORS[this.tone] ?? "";
  },
});
define("s-chip", {
  html: '<span><slot name="graphic"></slot><slot></slot><button aria-label="Remove">×</button></span>',
  css: `:host { display: inline-block } span { display: inline-flex; align-items: center; gap: 4px;
      padding: 0 8px; border-radius: 8px; background: #e3e3e3; min-height: 24px }
    button { min-width: 24px; min-height: 24px; border: 0; background: none; cursor: pointer }`,
  start() { this.$("button").onclick = () => this.emit("remove"); },
  draw() {
    this.$("button").hidden = !this.removable;
    mark(this.$("span"), "aria-label", this.accessibilityLabel);
  },
});
define("s-icon", {
  html: '<span aria-hidden="true"></span>',
  css: ":host { display: inline-block } span { display: inline-block; width: 20px; text-align: center }",
  draw() {
    const icon = this.$("span");
    icon.textContent = ICONS[this.type] ?? "";
    icon.style.color = this.color === "subdued" ? "#616161" : COLORS[this.tone] ?? "";
  },
});

function drawPicture() {
  const picture = this.$("img");
  picture.alt = this.alt;
  if (this.src && this.drawnSource !== this.src) picture.src = this.src;
  if (!this.src) picture.removeAttribute("src");
  this.drawnSource = this.src;
}
function passPictureEvents() {
  for (const type of ["load", "error"])
    this.$("img").addEventListener(type, () => this.dispatchEvent(new Event(type)));
}

define("s-image", {
  html: '<img alt="">',
  css: ":host { display: block } img { display: block; max-width: 100%; width: 100% }",
  start: passPictureEvents,
  draw() {
    const picture = this.$("img");
    if (this.loading) picture.loading = this.loading;
    mark(picture, "role", this.accessibilityRole);
    if (this.srcSet) picture.srcset = this.srcSet;
    if (this.sizes) picture.sizes = this.sizes;
    Object.assign(picture.style, {
      aspectRatio: this.aspectRatio, objectFit: this.objectFit,
      width: this.inlineSize === "auto" ? "auto" : "",
      borderRadius: px(this.borderRadius || "none"),
      border: this.border && this.border !== "none" ? "1px solid #e3e3e3" : "",
    });
    drawPicture.call(this);
  },
});
define("s-thumbnail", {
  html: '<img alt="">',
  css: `:host { display: inline-block } img { display: block; width: 40px; height: 40px;
      object-fit: contain; border: 1px solid #ebebeb; border-radius: 8px; background: #fff }
    .small-200 { width: 20px; height: 20px } .small-100 { width: 24px; height: 24px }
    .small { width: 32px; height: 32px } .large { width: 60px; height: 60px }
    .large-100 { width: 80px; height: 80px }`,
  start: passPictureEvents,
  draw() { this.$("img").className = this.size; drawPicture.call(this); },
});

define("s-spinner", {
  html: '<div role="img"></div>',
  css: `:host { display: inline-block } div { width: 20px; height: 20px; border: 2px solid #e3e3e3;
      border-top-color: #303030; border-radius: 50%; animation: turn 1s linear infinite }
    @keyframes turn { to { rotate: 360deg } }
    @media (prefers-reduced-motion: reduce) { div { animation: none } }`,
  draw() { mark(this.$("div"), "aria-label", this.accessibilityLabel || "Loading"); },
});
define("s-progress", {
  html: "<progress></progress>",
  css: "progress { display: block; width: 100%; height: 8px; accent-color: #303030 }",
  draw() {
    const bar = this.$("progress");
    bar.max = this.max || 1;
    if (this.hasAttribute("value")) bar.value = this.value;
    else bar.removeAttribute("value");
    mark(bar, "aria-label", this.accessibilityLabel || "Progress");
  },
});
define("s-banner", {
  html: `<div role="status"><strong></strong><button aria-label="Dismiss">×</button>
    <div class="body"><slot></slot></div><slot name="secondary-actions"></slot></div>`,
  css: `[role] { display: grid; gap: 4px 8px; grid-template-columns: minmax(0, 1fr) auto;
      padding: 12px 16px; border-radius: 12px; background: #eaf4ff }
    .critical { background: #fee8eb } .warning { background: #fff1e3 }
    .success { background: #cdfee1 } strong { font-weight: 650 }
    .body, slot[name] { display: block; grid-column: 1 / -1 }
    button { min-width: 24px; min-height: 24px; border: 0; background: none; cursor: pointer }`,
  start() {
    this.$("button").onclick = () => {
      this.hidden = true;
      this.emit("dismiss");
      this.emit("afterhide");
    };
  },
  draw() {
    const banner = this.$("[role]");
    banner.className = this.tone;
    mark(banner, "role", this.tone === "critical" ? "alert" : "status");
    tell(this, "strong", this.heading);
    this.$("button").hidden = !this.dismissible;
  },
});
