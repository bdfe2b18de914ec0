// The gallery: all images that the shop has made, newest first.
import { nextPage } from "../api.js";
import { h } from "../elements.js";
import { defineScreen } from "../screen.js";
import { emptyState, makeButton, skeletonCards, statusBanner, workflowName } from "../states.js";
import { moment, text, textOr } from "../words.js";
import "../words/gallery.js";
import { verdict } from "./cards.js";

/** @import { GarmentCategoriesResponse, OperationsResponse, RenderResponse } from "atelier-api" */
/** @import { CommonState, Context } from "../screen.js" */
/** @import { Route } from "../router.js" */
/**
 * `workflows` and `categories` are what the images can be filtered by.
 * @typedef {{ rows: RenderResponse[] | null, next: string | null, isReadingMore: boolean,
 *   workflows: string[], categories: { name: string, title: string }[] }} GalleryState
 */
/** @typedef {ReturnType<typeof actions>} GalleryActions */

const FILTERS = /** @type {const} */ (["workflow", "category", "origin"]);
const ORIGINS = ["catalog", "compose", "edit", "generate"]; // the classes of workflows
const COLUMNS = "repeat(auto-fill, minmax(min(180px, 100%), 1fr))";

export const gallery = defineScreen({
  /** @returns {GalleryState} */
  initial: () => ({
    rows: null, next: null, isReadingMore: false, workflows: [], categories: [],
  }),
  load,
  actions,
  view,
});

/** @param {Context<GalleryState>} context */
async function load({ answer, read, set, route }) {
  const [{ body, headers }, offered, garments] = await Promise.all([
    answer(`/v1/renders?${new URLSearchParams({ limit: "24", ...filtersOf(route) })}`),
    /** @type {Promise<OperationsResponse>} */ (read("/v1/operations")),
    /** @type {Promise<GarmentCategoriesResponse>} */ (read("/v1/garment-categories")),
  ]);
  set({
    rows: body.renders, next: nextPage(headers), categories: garments.categories,
    workflows: offered.operations.map(({ name }) => name),
  });
}

/** The filters of the address. @param {Route} route @returns {Record<string, string>} */
const filtersOf = ({ query }) =>
  Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]).filter(([, to]) => to));

/** @param {Context<GalleryState>} context */
function actions({ answer, set, state, go, route }) {
  return {
    /** @param {string} name @param {string} value */
    filter(name, value) {
      const { [name]: _, ...others } = filtersOf(route);
      const query = new URLSearchParams(value ? { ...others, [name]: value } : others);
      go(query.size ? `/gallery?${query}` : "/gallery");
    },
    async more() {
      const { next, rows } = state();
      if (!next) return;
      set({ isReadingMore: true });
      try {
        const { body, headers } = await answer(next);
        if (state().rows !== rows) return; // loaded anew meanwhile
        set({ rows: [...(rows ?? []), ...body.renders], next: nextPage(headers) });
      } finally {
        set({ isReadingMore: false });
      }
    },
  };
}

/** @param {CommonState & GalleryState} state @param {GalleryActions} act */
function view(state, act) {
  return h("s-page", { heading: text("nav.gallery") },
    makeButton(),
    statusBanner(state, "gallery.failed"),
    h("s-section", { key: state.rows ? "images" : "loading", heading: text("list.newest") },
      h("s-stack", { gap: "base" },
        filters(state, act),
        images(state),
        state.next && h("s-stack", { alignItems: "center" },
          h("s-button", { loading: state.isReadingMore, onClick: act.more }, text("list.more"))))));
}

/** @param {CommonState & GalleryState} state @param {GalleryActions} act */
function filters({ route, workflows, categories }, act) {
  const chosen = filtersOf(route);
  const titles = Object.fromEntries(categories.map(({ name, title }) => [name, title]));
  const category = (/** @type {string} */ name) => textOr(`category.${name}`, titles[name] ?? name);
  return h("s-stack", { direction: "inline", gap: "small" },
    filter("workflow", workflows, workflowName),
    filter("category", Object.keys(titles), category),
    filter("origin", ORIGINS, (origin) => textOr(`gallery.origin.${origin}`, origin)));

  /**
   * @param {typeof FILTERS[number]} name
   * @param {string[]} known What the address has comes before the list of all is there.
   * @param {(value: string) => string} title
   */
  function filter(name, known, title) {
    const value = chosen[name] ?? "";
    const values = value && !known.includes(value) ? [value, ...known] : known;
    return h("s-select", { key: name, label: text(`gallery.${name}`), value,
      onChange: (event) => act.filter(name, event.currentTarget.value) },
      h("s-option", { value: "" }, text("list.all")),
      values.map((each) => h("s-option", { key: each, value: each }, title(each))));
  }
}

/** @param {CommonState & GalleryState} state */
function images({ rows, route }) {
  if (!rows) return skeletonCards({ count: 8, height: "260px", columns: COLUMNS });
  if (rows.length === 0) return nothing(Object.keys(filtersOf(route)).length > 0);
  const style = { display: "grid", gap: "16px", gridTemplateColumns: COLUMNS };
  return h("div", { role: "list", style }, rows.map((each) =>
    h("div", { key: each.public_id, role: "listitem" }, card(each))));
}

/** @param {boolean} isFiltered */
const nothing = (isFiltered) => isFiltered
  ? emptyState({ heading: "gallery.noneOfThese", details: "gallery.noneOfThese.details",
    action: h("s-button", { slot: "primary-action", href: "/gallery" }, text("gallery.showAll")) })
  : emptyState({ heading: "gallery.none", details: "gallery.none.details", action: makeButton() });

/** @param {RenderResponse} render */
function card({ public_id: id, job_type: type, category, finished_at: at, thumbnail, finals }) {
  const title = workflowName(type);
  const image = thumbnail ?? finals[0];
  return h("s-stack", { gap: "small-200" },
    h("s-clickable", { href: `/jobs/${id}`, borderRadius: "base", border: "base",
      accessibilityLabel: text("gallery.open", { title, date: moment(at) }) },
      h("s-image", { src: image?.image_url ?? "", alt: "", aspectRatio: "1/1",
        objectFit: "contain", loading: "lazy", inlineSize: "fill" })),
    h("s-stack", { gap: "small-400" },
      h("s-text", { type: "strong" }, title),
      category && h("s-text", { color: "subdued" }, textOr(`category.${category}`, category)),
      h("s-text", { color: "subdued" }, moment(at))),
    verdict(finals[0]));
}
