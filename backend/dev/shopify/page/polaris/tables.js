// Tables, as a real table for readers: the roles are on the elements' own inner boxes.

define("s-table", {
  html: `<slot name="filters"></slot><div class="scroll" tabindex="-1"><div role="table" class="table">
    <slot></slot></div></div><nav aria-label="Pages"><button class="previous">Previous</button>
    <button class="next">Next</button></nav>`,
  css: `.scroll { overflow-x: auto } .table { display: table; width: 100%; border-collapse: collapse }
    nav { display: flex; gap: 8px; justify-content: center; padding: 8px }
    button { min-height: 28px; padding: 4px 12px; border: 1px solid #ccc; border-radius: 8px;
      background: #fff; cursor: pointer }`,
  start() {
    this.$(".previous").onclick = () => this.emit("previouspage");
    this.$(".next").onclick = () => this.emit("nextpage");
  },
  draw() {
    this.$("nav").hidden = !this.paginate;
    this.$(".previous").disabled = !this.hasPreviousPage;
    this.$(".next").disabled = !this.hasNextPage;
    mark(this.$(".table"), "aria-busy", this.loading && "true");
  },
});

const row = (role, css) => ({
  html: `<div role="${role}"><slot></slot></div>`, css: `:host { display: contents } div { ${css} }`,
});
define("s-table-header-row", row("row", "display: table-row; background: #f7f7f7"));
define("s-table-body", row("rowgroup", "display: table-row-group"));
define("s-table-cell", row(
  "cell", "display: table-cell; padding: 8px 12px; border-top: 1px solid #ebebeb; vertical-align: middle"));
define("s-table-header", {
  ...row("columnheader", `display: table-cell; padding: 6px 12px; color: #616161; font-size: 12px;
    font-weight: 600; text-align: start`),
  draw() { this.$("div").style.textAlign = this.format && this.format !== "base" ? "end" : ""; },
});
define("s-table-row", {
  ...row("row", "display: table-row"),
  start() {
    this.addEventListener("click", (event) => {
      const delegate = document.getElementById(this.clickDelegate);
      if (!delegate || event.composedPath().includes(delegate)) return;
      if (event.composedPath().some((each) => each.matches?.("button, a, input, select"))) return;
      delegate.click();
    });
  },
  draw() {
    if (this.clickDelegate && !this.querySelector(`#${CSS.escape(this.clickDelegate)}`))
      queueMicrotask(() => {
        if (this.isConnected && !document.getElementById(this.clickDelegate))
          complain(`<s-table-row clickDelegate="${this.clickDelegate}">: no element has this id`);
      });
  },
});
