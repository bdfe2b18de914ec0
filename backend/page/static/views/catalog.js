// The catalog: models, backgrounds and garments that Atelier has made, for later images to use.
import { ApiError, call, nextPage } from "../api.js";
import { h } from "../elements.js";
import { defineScreen } from "../screen.js";
import { emptyState, skeletonCards, statusBanner } from "../states.js";
import { moment, text, textOr } from "../words.js";
import "../words/gallery.js";
import "../words/make.js";

/** @import { CatalogEntryResponse, CatalogListResponse, OperationsResponse } from "atelier-api" */
/** @import { CommonState, Context } from "../screen.js" */
/** @import { Route } from "../router.js" */
/**
 * `renaming` is the entry whose name is being typed. `isOffered`: Atelier can make more of these.
 * @typedef {{ entries: CatalogEntryResponse[] | null, next: string | null,
 *   isReadingMore: boolean, isArchived: boolean, isOffered: boolean, busy: string,
 *   renaming: { id: string, name: string, isRefused: boolean } | null }} CatalogState
 */
/** @typedef {keyof typeof GENERATORS} Kind */
/** @typedef {Context<CatalogState>} CatalogContext */
/** @typedef {ReturnType<typeof actions>} CatalogActions */

/** The workflow that makes entries of each kind. */
const GENERATORS = /** @type {const} */ ({
  "models": "model-generator",
  "backgrounds": "background-generator",
  "complementary-garments": "complementary-garment-generator",
});
const KINDS = /** @type {Kind[]} */ (Object.keys(GENERATORS));
const COLUMNS = "repeat(auto-fill, minmax(min(220px, 100%), 1fr))";
const MAX_NAME = 100; // characters
const RENAME = "rename"; // the modal

export const catalog = defineScreen({
  /** @returns {CatalogState} */
  initial: () => ({
    entries: null, next: null, isReadingMore: false, isArchived: false, isOffered: true,
    busy: "", renaming: null,
  }),
  load,
  actions,
  view,
});

/** The part of the catalog that the address names. @param {Route} route @returns {Kind} */
const kindOf = ({ query }) => KINDS.find((each) => each === query.get("kind")) ?? "models";

/** @param {Route} route */
const pathOf = (route) => `/v1/catalog/${kindOf(route)}`;

/** @param {CatalogContext} context */
async function load(context) {
  const { read, set, route } = context;
  const [{ operations }] = await Promise.all([
    /** @type {Promise<OperationsResponse>} */ (read("/v1/operations")),
    readEntries(context),
  ]);
  const generator = GENERATORS[kindOf(route)];
  set({ isOffered: operations.some(({ name, enabled }) => name === generator && enabled) });
}

/** @param {CatalogContext} context */
async function readEntries({ answer, set, state, route }) {
  const { isArchived } = state();
  const { body, headers } = await answer(`${pathOf(route)}?limit=24&archived=${isArchived}`);
  if (isArchived !== state().isArchived) return; // the other ones are wanted by now
  set({ entries: /** @type {CatalogListResponse} */ (body).entries, next: nextPage(headers) });
}

/** @param {CatalogContext} context */
function actions(context) {
  const { answer, go, set, state, route } = context;

  /** Move the entry out of the list that is shown. */
  /** @param {CatalogEntryResponse} entry @param {"archive" | "restore"} what */
  async function move({ public_id: id, name }, what) {
    set({ busy: id, failure: null });
    try {
      await call("POST", `${pathOf(route)}/${id}/${what}`);
      set({ entries: state().entries?.filter(({ public_id: each }) => each !== id) ?? null });
      shopify.toast.show(text(what === "archive" ? "catalog.didArchive" : "catalog.didRestore",
        { name }));
      document.getElementById("entries")?.focus();
    } finally {
      set({ busy: "" });
    }
  }

  return {
    show: (/** @type {Kind} */ kind) => go(`/catalog?kind=${kind}`),
    archive: (/** @type {CatalogEntryResponse} */ entry) => move(entry, "archive"),
    restore: (/** @type {CatalogEntryResponse} */ entry) => move(entry, "restore"),
    /** @param {boolean} isArchived */
    showArchived(isArchived) {
      set({ isArchived, entries: null, next: null });
      return readEntries(context);
    },
    async more() {
      const { next, entries } = state();
      if (!next) return;
      set({ isReadingMore: true });
      try {
        const { body, headers } = await answer(next);
        if (state().entries !== entries) return; // loaded anew meanwhile
        set({ entries: [...(entries ?? []), ...body.entries], next: nextPage(headers) });
      } finally {
        set({ isReadingMore: false });
      }
    },
    /** @param {CatalogEntryResponse} entry */
    startRenaming: ({ public_id: id, name }) => set({ renaming: { id, name, isRefused: false } }),
    /** @param {string} name */
    type(name) {
      const { renaming } = state();
      if (renaming) set({ renaming: { ...renaming, name, isRefused: false } });
    },
    async rename() {
      const { renaming } = state();
      if (!renaming) return;
      set({ busy: renaming.id });
      try {
        const body = { name: renaming.name };
        const changed = await call("PATCH", `${pathOf(route)}/${renaming.id}`, { body });
        replaceEntry({ set, state }, changed);
        shopify.toast.show(text("catalog.didRename", { name: changed.name }));
      } catch (error) {
        if (!(error instanceof ApiError) || !error.detail.length) throw error;
        set({ renaming: { ...renaming, isRefused: true } });
      } finally {
        set({ busy: "" });
      }
    },
  };
}

/** @param {Pick<CatalogContext, "set" | "state">} context @param {CatalogEntryResponse} changed */
function replaceEntry({ set, state }, changed) {
  const replaced = state().entries?.map((each) =>
    (each.public_id === changed.public_id ? changed : each));
  set({ entries: replaced ?? null, renaming: null });
  /** @type {any} */ (document.getElementById(RENAME)).hideOverlay();
}

/** @param {CommonState & CatalogState} state @param {CatalogActions} act */
function view(state, act) {
  const kind = kindOf(state.route);
  return h("s-page", { heading: text("nav.catalog") },
    state.isOffered && generateButton(kind),
    statusBanner(state, "catalog.failed"),
    !state.isOffered && h("s-banner", { tone: "info" },
      h("s-paragraph", null, text("catalog.notSetUp"))),
    h("s-section", { key: state.entries ? "entries" : "loading",
      heading: text(`catalog.kind.${kind}`) },
      h("s-stack", { gap: "base" },
        tabs(kind, act),
        h("s-checkbox", { label: text("catalog.archived"), checked: state.isArchived,
          onChange: (event) => act.showArchived(event.currentTarget.checked) }),
        h("div", { id: "entries", tabIndex: -1 }, entries(state, act)),
        state.next && h("s-stack", { alignItems: "center" },
          h("s-button", { loading: state.isReadingMore, onClick: act.more }, text("list.more"))))),
    renameModal(state, act));
}

/** The way to the form that makes an entry. @param {Kind} kind */
const generateButton = (kind) =>
  h("s-button", { slot: "primary-action", variant: "primary",
    href: `/make?workflow=${GENERATORS[kind]}` }, text(`catalog.make.${kind}`));

/** The parts of the catalog. @param {Kind} shown @param {CatalogActions} act */
const tabs = (shown, act) =>
  h("s-button-group", { accessibilityLabel: text("catalog.kinds"), gap: "none" },
    KINDS.map((kind) => h("s-press-button", { key: kind, pressed: kind === shown,
      onClick: () => act.show(kind) }, text(`catalog.kind.${kind}`))));

/** @param {CommonState & CatalogState} state @param {CatalogActions} act */
function entries(state, act) {
  if (!state.entries) return skeletonCards({ count: 4, height: "360px", columns: COLUMNS });
  if (state.entries.length === 0) return state.next ? null : nothing(state);
  const style = { display: "grid", gap: "16px", gridTemplateColumns: COLUMNS };
  return h("div", { role: "list", style }, state.entries.map((each) =>
    h("div", { key: each.public_id, role: "listitem", "aria-label": each.name },
      card(each, state, act))));
}

/** @param {CommonState & CatalogState} state */
function nothing({ isArchived, isOffered, route }) {
  const kind = kindOf(route);
  return isArchived
    ? emptyState({ heading: "catalog.noneArchived", details: "catalog.noneArchived.details" })
    : emptyState({ heading: `catalog.none.${kind}`, details: `catalog.why.${kind}`,
      action: isOffered && generateButton(kind) });
}

/** @param {CatalogEntryResponse} entry @param {CatalogState} state @param {CatalogActions} act */
function card(entry, { busy }, act) {
  const { public_id: id, name, image, thumbnail, archived_at: archivedAt } = entry;
  const isBusy = busy === id;
  return h("s-box", { padding: "small", border: "base", borderRadius: "base" },
    h("s-stack", { gap: "small-200" },
      h("s-image", { src: (thumbnail ?? image)?.image_url ?? "", alt: name, aspectRatio: "1/1",
        objectFit: "contain", loading: "lazy", inlineSize: "fill" }),
      h("s-heading", null, name),
      h("s-text", { color: "subdued" }, text("catalog.made", { date: moment(entry.created_at) })),
      asked(entry.attributes),
      h("s-stack", { direction: "inline", gap: "small-200", alignItems: "center" },
        h("s-button", { disabled: isBusy, commandFor: RENAME, command: "--show",
          accessibilityLabel: text("catalog.renameThis", { name }),
          onClick: () => act.startRenaming(entry) }, text("catalog.rename")),
        archivedAt
          ? h("s-button", { loading: isBusy, onClick: () => act.restore(entry),
            accessibilityLabel: text("catalog.restoreThis", { name }) }, text("catalog.restore"))
          : h("s-button", { loading: isBusy, onClick: () => act.archive(entry),
            accessibilityLabel: text("catalog.archiveThis", { name }) }, text("catalog.archive")),
        h("s-link", { href: `/jobs/${id}`, accessibilityLabel: text("catalog.jobOf", { name }) },
          text("catalog.job")))));
}

/** What the entry was made from: the description in the merchant's words, and what was chosen. */
/** @param {Record<string, any>} attributes */
function asked({ details, seed, ...chosen }) {
  const values = Object.entries(chosen).map(([field, value]) => text("catalog.value", {
    field: textOr(`catalog.field.${field}`, field),
    value: textOr(`form.choice.${field}.${value}`,
      textOr(`form.choice.${value}`, String(value).replaceAll("_", " "))),
  }));
  if (seed !== undefined) values.push(text("catalog.value", {
    field: text("catalog.seed"), value: String(seed) }));
  return h("s-stack", { gap: "small-400" },
    h("s-text", { type: "strong" }, text("catalog.asked")),
    details && h("s-paragraph", null, details),
    h("s-text", { color: "subdued" }, values.join(" · ")));
}

/** @param {CatalogState} state @param {CatalogActions} act */
const renameModal = ({ renaming, busy }, act) =>
  h("s-modal", { id: RENAME, heading: text("catalog.renameHeading"), size: "small" },
    h("s-text-field", { label: text("catalog.name"), name: "name", maxLength: MAX_NAME,
      value: renaming?.name ?? "", required: true,
      error: renaming?.isRefused ? text("catalog.name.wrong") : "",
      onInput: (event) => act.type(event.currentTarget.value) }),
    h("s-button", { slot: "primary-action", variant: "primary", loading: busy !== "",
      onClick: act.rename }, text("catalog.save")),
    h("s-button", { slot: "secondary-actions", commandFor: RENAME, command: "--hide" },
      text("catalog.cancel")));
