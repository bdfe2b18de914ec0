// Make images: choose the photos, how to make the images, see the price, and start.
import { ApiError, call, newKey } from "../api.js";
import { balanceBadges, buyButton, frozenBanner, readCredits, shortage } from "../credits.js";
import { h } from "../elements.js";
import { defineScreen } from "../screen.js";
import { skeletonCards, statusBanner, workflowName } from "../states.js";
import { errorText, text, textOr } from "../words.js";
import "../words/make.js";
import { DEFAULTS, dropZone, parameterFields, PHOTO_TYPES, problemsOf } from "./form.js";

/** @import { CreditsResponse, OperationsResponse, OverviewResponse } from "atelier-api" */
/** @import { UploadResponse } from "atelier-api" */
/** @import { CommonState, Context } from "../screen.js" */
/** @typedef {{ id: string, title: string | null }} Picked */
/** @typedef {{ file: File, key: string | null, url: string, error: string | null }} Photo */
/** @import { Parameters } from "./form.js" */
/**
 * `key` is the Idempotency-Key of the next request: another one after each change of the form.
 * @typedef {{ operations: OperationsResponse["operations"] | null,
 *   overview: OverviewResponse | null, credits: CreditsResponse | null, workflow: string,
 *   parameters: Record<string, Parameters>, source: "products" | "collection" | "files",
 *   products: Picked[], collection: (Picked & { count: number | null }) | null, photos: Photo[],
 *   problems: Record<string, string>, isSending: boolean, key: string }} MakeState
 */
/** @typedef {Context<MakeState>} MakeContext */
/** @typedef {ReturnType<typeof actions>} MakeActions */

const MAX_PRODUCTS = 1000;
const MAX_PHOTOS = 20;
const MAX_BYTES = 25_000_000;
const SOURCES = /** @type {const} */ (["products", "collection", "files"]);

export const make = defineScreen({
  /** @param {import("../router.js").Route} route @returns {MakeState} */
  initial: ({ query }) => ({
    operations: null, overview: null, credits: null,
    workflow: "catalog-image", parameters: DEFAULTS, source: "products",
    products: productsIn(query), collection: null, photos: [], problems: {},
    isSending: false, key: newKey(),
  }),
  /** @param {MakeContext} context */
  async load(context) {
    const [operations, overview, credits] = await Promise.all([
      /** @type {Promise<OperationsResponse>} */ (context.read("/v1/operations")),
      /** @type {Promise<OverviewResponse>} */ (context.read("/v1/overview")),
      readCredits(context),
    ]);
    context.set({ operations: operations.operations, overview, credits });
  },
  actions,
  view,
});

/** The products that an admin link names: Shopify appends their numbers. */
/** @param {URLSearchParams} query @returns {Picked[]} */
function productsIn(query) {
  const given = [...query.getAll("id"), ...query.getAll("ids[]")];
  const ids = new Set(given.filter((id) => /^\d{1,20}$/.test(id)));
  return [...ids].slice(0, MAX_PRODUCTS)
    .map((id) => ({ id: `gid://shopify/Product/${id}`, title: null }));
}

/** @param {MakeContext} context */
function actions(context) {
  const { set, state, go } = context;
  const change = (/** @type {Partial<MakeState>} */ some) => set({ ...some, key: newKey() });

  /** @param {string} name @param {unknown} value */
  function setParameter(name, value) {
    const { parameters, workflow, problems } = state();
    const { [name]: _, ...others } = problems;
    const changed = { ...parameters[workflow], [name]: value };
    change({ parameters: { ...parameters, [workflow]: changed }, problems: others });
  }

  return {
    setParameter,
    /** @param {string} workflow */
    setWorkflow: (workflow) => change({ workflow, problems: {} }),
    /** @param {MakeState["source"]} source */
    setSource: (source) => change({ source, problems: {} }),
    async pickProducts() {
      const selected = await shopify.resourcePicker({
        type: "product", action: "select", multiple: MAX_PRODUCTS, filter: { variants: false },
        selectionIds: state().products.map(({ id }) => ({ id })),
      });
      if (!selected) return; // cancelled
      const products = selected.map(({ id, title }) => ({ id, title }));
      change({ products, source: "products", problems: {} });
    },
    async pickCollection() {
      const [found] = await shopify.resourcePicker({ type: "collection", action: "select" }) ?? [];
      if (!found) return;
      const count = found.productsCount ?? null;
      change({ collection: { id: found.id, title: found.title, count }, problems: {} });
    },
    /** @param {readonly File[]} files */
    async addPhotos(files) {
      const known = state().photos.map(({ file }) => file);
      const added = files.filter((file) => !known.some((other) => isSame(file, other)));
      const photos = added.slice(0, MAX_PHOTOS - known.length).map(newPhoto);
      const problems = photos.length < added.length ? { source: text("make.tooMany") } : {};
      change({ photos: [...state().photos, ...photos], problems });
      for (const photo of photos) {
        const uploaded = await upload(photo);
        const shown = state().photos.map((each) => (each === photo ? uploaded : each));
        change({ photos: shown });
      }
    },
    /** @param {string} name Of the field whose files were of another type. */
    rejected: (name) =>
      set({ problems: { ...state().problems, [name]: text("form.dropRejected") } }),
    /** @param {Photo} photo */
    removePhoto: (photo) => change({ photos: state().photos.filter((each) => each !== photo) }),
    /** @param {readonly File[]} files */
    async setBackground([file]) {
      if (!file) return;
      const { key, error } = await upload(newPhoto(file));
      setParameter("background_upload_key", key);
      if (error) set({ problems: { ...state().problems, background_upload_key: error } });
    },
    /** Ask for the confirmation; or show at its field what is missing. */
    ask() {
      const parameters = state().parameters[state().workflow] ?? {};
      const problems = { ...problemsOf(parameters), ...missing(state()) };
      set({ problems });
      const modal = /** @type {HTMLElementTagNameMap["s-modal"]} */ (
        document.getElementById("confirm"));
      if (!Object.keys(problems).length) modal.showOverlay();
    },
    async start() {
      set({ isSending: true });
      try {
        go(await started(state(), (done, all) =>
          set({ problems: { source: text("make.partly", { done, all }) } })));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (error.required) set({ credits: await readCredits(context) });
        const problems = refusalsOf(error);
        if (!Object.keys(problems).length) throw error;
        set({ problems });
      } finally {
        set({ isSending: false });
      }
    },
  };
}

/** @param {File} a @param {File} b */
const isSame = (a, b) =>
  a.name === b.name && a.size === b.size && a.lastModified === b.lastModified;

/** @param {File} file @returns {Photo} */
const newPhoto = (file) => ({ file, key: null, url: "", error: null });

/** The photo with its upload's key, or with the reason why it has none. */
/** @param {Photo} photo @returns {Promise<Photo>} */
async function upload(photo) {
  const { file } = photo;
  if (!PHOTO_TYPES.split(",").includes(file.type)) {
    return { ...photo, error: text("error.IMAGE_TYPE_UNSUPPORTED") };
  }
  if (file.size > MAX_BYTES) return { ...photo, error: text("error.IMAGE_TOO_LARGE") };
  const body = new FormData();
  body.append("file", file);
  try {
    const sent = /** @type {UploadResponse} */ (await call("POST", "/v1/uploads", { body }));
    return { ...photo, key: sent.upload_key, url: sent.image_url };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return { ...photo, error: errorText(error) };
  }
}

/** @param {MakeState} state @returns {Record<string, string>} */
const missing = (state) =>
  countOf(state) === 0 ? { source: text(`make.none.${state.source}`) } : {};

/** The fields that the API refused, in our own words. */
/** @param {ApiError} error @returns {Record<string, string>} */
function refusalsOf({ code, detail }) {
  if (code !== "INVALID_REQUEST") return {};
  const fields = Object.keys(Object.assign({}, ...Object.values(DEFAULTS)));
  const refused = detail.flatMap(({ loc }) => fields.filter((name) => loc.includes(name)));
  return Object.fromEntries(refused.map((name) => [name, text("form.refused")]));
}

/** How many images will be made; null for a collection of unknown size. */
/** @param {MakeState} state */
function countOf({ source, products, collection, photos }) {
  if (source === "products") return products.length;
  if (source === "collection") return collection ? collection.count : 0;
  return photos.filter(({ key }) => key).length;
}

/**
 * Start the job, the jobs or the batch.
 * @param {MakeState} state
 * @param {(done: number, all: number) => void} onPart Called when only the first jobs could be
 *   started; the same request goes on with the others.
 * @returns {Promise<string>} the path of what was started
 */
async function started(state, onPart) {
  const { workflow, parameters, source, products, collection, photos, key } = state;
  const wanted = parameters[workflow] ?? {};
  if (source === "files") {
    const ready = photos.filter((photo) => photo.key);
    const jobs = [];
    for (const [i, { key: uploadKey }] of ready.entries()) {
      const body = { ...wanted, upload_key: uploadKey };
      const job = call("POST", `/v1/${workflow}`, { body, key: `${key}-${i}` });
      jobs.push(await job.catch((error) => {
        if (i > 0) onPart(i, ready.length);
        throw error;
      }));
    }
    return jobs.length === 1 ? `/jobs/${jobs[0].job_id}` : "/jobs";
  }
  if (source === "products" && products.length === 1) {
    const body = { ...wanted, product_id: products[0]?.id };
    return `/jobs/${(await call("POST", `/v1/${workflow}`, { body, key })).job_id}`;
  }
  const which = source === "collection" ? { collection_id: collection?.id }
    : { product_ids: products.map(({ id }) => id) };
  const body = { workflow, parameters: wanted, ...which };
  return `/batches/${(await call("POST", "/v1/batches", { body, key })).public_id}`;
}

/** @param {CommonState & MakeState} state @param {MakeActions} act */
function view(state, act) {
  const { credits, operations, isSending } = state;
  const parameters = state.parameters[state.workflow] ?? {};
  return h("s-page", { heading: text("nav.make") },
    h("s-link", { slot: "breadcrumb-actions", href: "/" }, text("nav.review")),
    balanceBadges(credits),
    statusBanner(state, "make.failed"),
    frozenBanner(credits),
    h("s-section", { heading: text("make.photos") },
      h("s-stack", { gap: "base" },
        h("s-choice-list", { label: text("make.source"), name: "source", values: [state.source],
          labelAccessibilityVisibility: "exclusive",
          onChange: (event) => act.setSource(
            /** @type {MakeState["source"]} */ (event.currentTarget.values[0])) },
          SOURCES.map((each) =>
            h("s-choice", { key: each, value: each }, text(`make.source.${each}`)))),
        photosOf(state, act),
        state.problems.source && h("s-text", { tone: "critical" }, state.problems.source))),
    h("s-section", { heading: text("make.how") },
      operations ? h("s-stack", { gap: "base" },
        h("s-select", { label: text("make.workflow"), value: state.workflow,
          details: textOr(`make.about.${state.workflow}`, ""),
          onChange: (event) => act.setWorkflow(event.currentTarget.value) },
          operations.filter(({ name }) => DEFAULTS[name]).map(({ name, enabled }) =>
            h("s-option", { key: name, value: name, disabled: !enabled }, workflowName(name)))),
        parameterFields(parameters, state.problems,
          { set: act.setParameter, rejected: act.rejected, uploadBackground: act.setBackground }))
        : skeletonCards({ count: 1, height: "320px" })),
    // Another key than while it loads: a section that moves would count as a layout shift.
    h("s-section", { key: operations ? "price" : "loading", heading: text("make.price") },
      h("s-stack", { gap: "base" },
        h("s-box", { accessibilityRole: "status" }, price(state)),
        notEnough(state),
        h("s-stack", { direction: "inline" },
          h("s-button", { variant: "primary", loading: isSending, disabled: !operations,
            onClick: act.ask }, text("make.start"))))),
    h("s-modal", { id: "confirm", heading: text("make.confirm") },
      h("s-paragraph", null, price(state)),
      h("s-paragraph", null, text("make.confirmDetails")),
      h("s-button", { slot: "primary-action", variant: "primary", commandFor: "confirm",
        command: "--hide", onClick: act.start }, text("make.start")),
      h("s-button", { slot: "secondary-actions", commandFor: "confirm", command: "--hide" },
        text("make.back"))));
}

/** @param {MakeState} state @param {MakeActions} act */
function photosOf({ source, products, collection, photos }, act) {
  if (source === "files") return ownPhotos(photos, act);
  const isMany = source === "products";
  const named = (isMany ? products : [collection]).flatMap((each) => each?.title ?? []);
  const count = isMany ? products.length : collection?.count;
  return h("s-stack", { gap: "small" },
    h("s-stack", { direction: "inline" },
      h("s-button", { onClick: isMany ? act.pickProducts : act.pickCollection },
        text(isMany ? "make.pickProducts" : "make.pickCollection"))),
    Boolean(count) && h("s-text", null, text("make.products", { count: count ?? 0 })),
    named.length > 0 && h("s-text", { color: "subdued" },
      [...named.slice(0, 5), ...(named.length > 5 ? ["…"] : [])].join(", ")));
}

/** @param {Photo[]} photos @param {MakeActions} act */
function ownPhotos(photos, act) {
  const done = photos.filter(({ key, error }) => key || error).length;
  return h("s-stack", { gap: "small" },
    dropZone({ label: text("make.drop"), multiple: true }, act.addPhotos,
      () => act.rejected("source")),
    done < photos.length && h("s-progress", { value: done, max: photos.length,
      accessibilityLabel: text("make.uploaded", { done, all: photos.length }) }),
    photos.map((photo) => h("s-stack", { key: photo.file.name + photo.file.lastModified,
      direction: "inline", gap: "small", alignItems: "center" },
      photo.url ? h("s-thumbnail", { src: photo.url, alt: "" })
        : !photo.error && h("s-spinner", { accessibilityLabel: text("make.uploading") }),
      h("s-text", null, photo.file.name),
      photo.error && h("s-text", { tone: "critical" }, photo.error),
      h("s-button", { variant: "tertiary", icon: "delete", onClick: () => act.removePhoto(photo),
        accessibilityLabel: text("make.remove", { name: photo.file.name }) }))));
}

/** The price of one image; undefined while it is not known. @param {MakeState} state */
const priceOfOne = ({ operations, workflow }) =>
  operations?.find(({ name }) => name === workflow)?.credits_cost;

/** What it will cost at most. @param {MakeState} state */
function price(state) {
  const { credits: balance, overview, source } = state;
  const each = priceOfOne(state);
  const count = countOf(state);
  if (each === undefined || !overview) return text("state.loading");
  const credits = text("make.credits", { count: each });
  const items = source === "files" ? "make.photoCount" : "make.products";
  const left = Math.max(overview.daily_credit_cap - overview.credits_spent_today, 0);
  return h("s-stack", { gap: "small-300" },
    h("s-text", { type: "strong" }, count === null ? text("make.priceEach", { credits })
      : text("make.priceAll", { items: text(items, { count }), credits,
        total: text("make.credits", { count: count * each }) })),
    balance && h("s-text", null, text("credits.left", { count: balance.available })),
    h("s-text", { color: "subdued" },
      text("make.rulesLeft", { left, cap: overview.daily_credit_cap })));
}

/** The way to more credits, if there are too few. @param {MakeState} state */
function notEnough(state) {
  const { credits, source } = state;
  const total = (countOf(state) ?? 0) * (priceOfOne(state) ?? 0);
  if (!credits || total <= credits.available) return null;
  return h("s-banner", { tone: "warning", heading: text("credits.short") },
    h("s-paragraph", null, shortage(total, credits.available)),
    source === "collection" && h("s-paragraph", null, text("make.waits")),
    buyButton("secondary-actions"));
}
