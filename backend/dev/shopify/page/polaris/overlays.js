// Modals, menus, popovers and tooltips. Their events do not bubble, as in Polaris 1.1.

define("s-modal", {
  html: `<dialog aria-labelledby="heading"><header><h2 id="heading"></h2>
    <button aria-label="Close">×</button></header><div class="body"><slot></slot></div>
    <footer><slot name="secondary-actions"></slot><slot name="primary-action"></slot></footer>
    </dialog>`,
  css: `:host { display: contents }
    dialog { width: min(620px, 92vw); padding: 0; border: 0; border-radius: 16px; color: inherit }
    .small, .small-100 { width: min(380px, 92vw) } .large, .large-100 { width: min(980px, 92vw) }
    dialog::backdrop { background: #0007 }
    header { display: flex; padding: 12px 16px; background: #f3f3f3 } h2 { flex: 1; font-size: 14px }
    .body { padding: 16px } .none { padding: 0 }
    footer { display: flex; gap: 8px; justify-content: flex-end; padding: 12px 16px;
      border-top: 1px solid #ebebeb }
    button { min-width: 24px; min-height: 24px; border: 0; background: none; cursor: pointer }`,
  start() {
    this.$("header button").onclick = () => this.hideOverlay();
    this.$("dialog").addEventListener("close", () => { this.emit("hide"); this.emit("afterhide"); });
  },
  members: {
    showOverlay() {
      if (this.$("dialog").open) return;
      this.$("dialog").showModal();
      this.emit("show");
      this.emit("aftershow");
    },
    hideOverlay() { this.$("dialog").close(); },
    toggleOverlay() { if (this.$("dialog").open) this.hideOverlay(); else this.showOverlay(); },
  },
  draw() {
    tell(this, "h2", this.heading);
    const dialog = this.$("dialog");
    dialog.className = this.size;
    mark(dialog, "aria-label", this.accessibilityLabel);
    if (this.accessibilityLabel) dialog.removeAttribute("aria-labelledby");
    this.$(".body").classList.toggle("none", this.padding === "none");
    this.$("footer").hidden = !this.querySelector(":scope > [slot]");
  },
});

const popup = (role) => ({
  html: `<div class="popup" role="${role}" popover><slot></slot></div>`,
  css: `:host { display: contents } .popup { padding: 8px; border: 1px solid #e3e3e3;
    border-radius: 12px; background: #fff; color: inherit }`,
  start() {
    this.$(".popup").addEventListener("toggle", ({ newState }) => {
      const names = newState === "open" ? ["show", "aftershow"] : ["hide", "afterhide"];
      for (const name of names) if (ELEMENTS[this.localName].events.includes(name)) this.emit(name);
    });
  },
  members: {
    showOverlay() { this.$(".popup").showPopover(); },
    hideOverlay() { this.$(".popup").hidePopover(); },
    toggleOverlay() { this.$(".popup").togglePopover(); },
  },
  draw() { mark(this.$(".popup"), "aria-label", this.accessibilityLabel); },
});
define("s-popover", popup("dialog"));
define("s-menu", popup("group"));
define("s-tooltip", { html: '<div role="tooltip" hidden><slot></slot></div>' });

document.adoptedStyleSheets.push(sheet(`
  html { background: #f1f1f1 }
  body { margin: 0; color: #303030; font: 13px/20px Inter, system-ui, sans-serif }
`));
