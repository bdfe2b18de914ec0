// Make images: choose the photos, how to make the images, see the price, and start.
import { ApiError, call, newKey } from "../api.js";
import { balanceBadges, frozenBanner, readCredits } from "../credits.js";
import { h } from "../elements.js";
import { defineScreen } from "../screen.js";
import { statusBanner } from "../states.js";
import { text } from "../words.js";
import "../words/make.js";
import { newPhoto, parameterFields, problemsOf, upload } from "./form.js";
import {
  chosenFor, chosenWith, effectiveParameters, imageFields, imageProblems, imagesOf, openPicker,
  pickerModal, readCatalog,
} from "./images.js";
import { isSame, MAX_PHOTOS, photoSection, sourcesOf } from "./photos.js";
import { countOf, notEnough, price, workflowField } from "./price.js";
import { fieldAt, FORMS, formOf, imageField, requestOf } from "./workflows.js";

/** @import { CreditsResponse, GarmentCategoriesResponse, OperationResponse, OperationsResponse,
 *   OverviewResponse } from "atelier-api" */
/** @import { CommonState, Context } from "../screen.js" */
/** @import { Picker } from "./catalog_picker.js" */
/** @import { Chosen, ChosenImages, Way } from "./images.js" */
/** @import { OwnPhoto } from "./photos.js" */
/** @import { Image, Parameters } from "./workflows.js" */
/** @typedef {{ id: string, title: string | null }} Picked */
/**
 * `key` is the Idempotency-Key of the next request: another one after each change of the form.
 * `guess` is the category that the one product's type and tags name; undefined: not known here.
 * `notes` say at the fields of garments why they do not go together.
 * @typedef {{ operations: OperationResponse[] | null, overview: OverviewResponse | null,
 *   credits: CreditsResponse | null, workflow: string, parameters: Record<string, Parameters>,
 *   images: ChosenImages, picker: Picker | null, notes: Record<string, string>,
 *   source: "products" | "collection" | "files", products: Picked[],
 *   collection: (Picked & { count: number | null }) | null, photos: OwnPhoto[],
 *   guess: string | null | undefined, problems: Record<string, string>, isSending: boolean,
 *   key: string }} MakeState
 */
/** @typedef {Context<MakeState>} MakeContext */
/** @typedef {ReturnType<typeof actions>} MakeActions */

const MAX_PRODUCTS = 1000;
const LOOK = "look"; // the one workflow of several garments

export const make = defineScreen({
  /** @param {import("../router.js").Route} route @returns {MakeState} */
  initial: ({ query }) => ({
    operations: null, overview: null, credits: null, workflow: workflowIn(query),
    parameters: Object.fromEntries(
      Object.entries(FORMS).map(([name, { parameters }]) => [name, parameters])),
    images: {}, picker: null, notes: {}, source: "products", products: productsIn(query),
    collection: null, photos: [], guess: undefined, problems: {}, isSending: false, key: newKey(),
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

/** The workflow that a link names. @param {URLSearchParams} query */
function workflowIn(query) {
  const named = query.get("workflow") ?? "";
  return Object.hasOwn(FORMS, named) ? named : "catalog-image";
}

/** @param {MakeContext} context */
function actions(context) {
  const { set, signal, state, go } = context;
  const change = (/** @type {Partial<MakeState>} */ some) => set({ ...some, key: newKey() });
  /** Those of all photos so far. @type {Promise<unknown>} */
  let uploads = Promise.resolve();

  /** @param {string} name */
  function problemsWithout(name) {
    const { [name]: _, ...others } = state().problems;
    return others;
  }

  /** @param {Image} image @param {Partial<Chosen>} some */
  function changeImage(image, some) {
    const problems = problemsWithout(imageField(image));
    change({ images: chosenWith(state().images, image, some), problems });
    void compare();
  }

  /** Show at their fields which garments do not go together. */
  async function compare() {
    if (state().workflow !== LOOK) return set({ notes: {} });
    const { notesOn } = await import("./compatibility.js");
    await notesOn(context);
  }

  /** @param {string} workflow */
  function setWorkflow(workflow) {
    const { source } = state();
    const isPossible = sourcesOf(workflow).includes(source);
    change({ workflow, source: isPossible ? source : "products", problems: {} });
    void compare();
  }

  /** One after the other: a shop may upload only a few at once. */
  /** @param {Promise<unknown>} before @param {OwnPhoto[]} photos */
  async function uploadAfter(before, photos) {
    await before.catch(() => {}); // an error is said where those were added
    for (const photo of photos) {
      if (signal.aborted) return; // the form was left
      const uploaded = await upload(photo);
      const shown = state().photos.map((each) => (each === photo ? uploaded : each));
      change({ photos: shown });
    }
  }

  return {
    setWorkflow,
    readCatalog: () => readCatalog(context),
    /** @param {string} name @param {unknown} value */
    setParameter(name, value) {
      const { parameters, workflow } = state();
      const changed = { ...parameters[workflow], [name]: value };
      const problems = problemsWithout(name);
      change({ parameters: { ...parameters, [workflow]: changed }, problems });
    },
    /** @param {MakeState["source"]} source */
    setSource(source) {
      change({ source, problems: {} });
      void compare();
    },
    async pickProducts() {
      const { isForMany } = formOf(state().workflow);
      const selected = await shopify.resourcePicker({
        type: "product", action: "select", multiple: isForMany ? MAX_PRODUCTS : false,
        filter: { variants: false }, selectionIds: state().products.map(({ id }) => ({ id })),
      });
      if (!selected) return; // cancelled
      const products = selected.map(({ id, title }) => ({ id, title }));
      change({ products, source: "products", guess: undefined, problems: {} });
      const [product] = selected;
      if (!product || selected.length > 1) return compare();
      const guess = await guessFor(context, product.productType, [product.tags].flat().join());
      if (state().products !== products) return;
      set({ guess });
      await compare();
    },
    async pickCollection() {
      const [found] = await shopify.resourcePicker({ type: "collection", action: "select" }) ?? [];
      if (!found) return;
      const count = found.productsCount ?? null;
      change({ collection: { id: found.id, title: found.title, count }, problems: {} });
    },
    /** @param {readonly File[]} files */
    async addPhotos(files) {
      const kept = state().photos.filter(({ file, error }) => // one that failed may come again
        !error || !files.some((other) => isSame(file, other)));
      const added = files.filter((file) => !kept.some((photo) => isSame(file, photo.file)));
      const photos = added.slice(0, MAX_PHOTOS - kept.length).map(newPhoto);
      const problems = photos.length < added.length ? { source: text("make.tooMany") } : {};
      change({ photos: [...kept, ...photos], problems });
      uploads = uploadAfter(uploads, photos);
      await uploads;
    },
    /** @param {string} name Of the field whose files were of another type. */
    rejected: (name) =>
      set({ problems: { ...state().problems, [name]: text("form.dropRejected") } }),
    /** @param {OwnPhoto} photo */
    removePhoto: (photo) => change({ photos: state().photos.filter((each) => each !== photo) }),
    /** @param {Image} image @param {Way} way */
    setWay: (image, way) => changeImage(image, { way }),
    /** @param {Image} image @param {readonly File[]} files */
    async uploadImage(image, [file]) {
      if (!file) return;
      const photo = newPhoto(file);
      changeImage(image, { photo });
      const uploaded = await upload(photo);
      if (chosenFor(state().images, image).photo === photo) changeImage(image, { photo: uploaded });
    },
    /** @param {Image} image */
    openCatalog: (image) => openPicker(context, image, {
      pick: (entry) => changeImage(image, { entry, way: "catalog" }), make: setWorkflow }),
    /** Ask for the confirmation; or show at its field what is missing. */
    ask() {
      const problems = problemsIn(state());
      set({ problems });
      if (!Object.keys(problems).length) confirmation().showOverlay();
    },
    async start() {
      if (state().isSending) return;
      set({ isSending: true });
      try {
        go(await started(state(), (begun, all) => set({
          photos: state().photos.filter((each) => !begun.includes(each)),
          problems: { source: text("make.partly", { done: begun.length, all }) },
        })));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (error.required) set({ credits: await readCredits(context) });
        const problems = refusalsOf(error, state().workflow);
        if (!Object.keys(problems).length) throw error;
        set({ problems });
      } finally {
        set({ isSending: false });
      }
    },
  };
}

/** The category that a product's words name. It is advice: undefined if it can't be read. */
/** @param {MakeContext} context @param {string} productType @param {string} tags */
async function guessFor({ read }, productType, tags) {
  const words = new URLSearchParams({ product_type: productType, tags });
  try {
    const path = `/v1/garment-categories?${words}`;
    return /** @type {GarmentCategoriesResponse} */ (await read(path)).guess;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return undefined;
  }
}

const confirmation = () =>
  /** @type {HTMLElementTagNameMap["s-modal"]} */ (document.getElementById("confirm"));

/** @param {MakeState} state */
const parametersIn = ({ workflow, images, parameters }) =>
  effectiveParameters(formOf(workflow).images, images, parameters[workflow] ?? {});

/** What is missing or impossible, by field. @param {MakeState} state */
function problemsIn(state) {
  const { workflow, source, products } = state;
  const { hasPhoto, isForMany, images } = formOf(workflow);
  const parameters = parametersIn(state);
  const isBatch = hasPhoto && (source === "collection"
    || (source === "products" && products.length > 1));
  return {
    ...problemsOf(parameters),
    ...(isToldByNobody(state) ? { category: text("form.missing") } : {}),
    ...imageProblems(images, state.images, isBatch),
    ...(isBatch && !isForMany ? { source: text("make.onlyOne") } : {}),
    ...(countOf(state) === 0 ? { source: text(`make.none.${source}`) } : {}),
  };
}

/** The mannequin needs a category, which only a product tells. @param {MakeState} state */
const isToldByNobody = ({ workflow, source, parameters, operations }) =>
  workflow === "product-to-model-direct" && source === "files"
  && parameters[workflow]?.category === null
  && !operations?.some(({ name, hosted }) => name === workflow && hosted);

/** The fields that the API refused, in our own words. */
/** @param {ApiError} error @param {string} workflow @returns {Record<string, string>} */
function refusalsOf({ code, detail }, workflow) {
  if (code !== "INVALID_REQUEST") return {};
  return Object.fromEntries(detail.flatMap(({ loc }) => {
    const field = fieldAt(workflow, loc);
    const isImage = field?.startsWith("image:");
    return field ? [[field, text(isImage ? "image.refused" : "form.refused")]] : [];
  }));
}

/**
 * Start the job, the jobs or the batch.
 * @param {MakeState} state
 * @param {(begun: OwnPhoto[], all: number) => void} onPart Called when only the first photos' jobs
 *   could be started, and not those of the others.
 * @returns {Promise<string>} the path of what was started
 */
async function started(state, onPart) {
  const { workflow, source, products, collection, photos, key } = state;
  const images = imagesOf(formOf(workflow).images, state.images);
  const wanted = { ...requestOf(parametersIn(state)), ...images };
  /** @param {Parameters} photo @param {string} itsKey @returns {Promise<{ job_id: string }>} */
  const job = (photo, itsKey) =>
    call("POST", `/v1/${workflow}`, { body: { ...wanted, ...photo }, key: itsKey });
  if (!formOf(workflow).hasPhoto) return `/jobs/${(await job({}, key)).job_id}`;
  if (source === "files") {
    const ready = photos.filter((photo) => photo.key);
    const jobs = [];
    for (const [i, { key: uploadKey }] of ready.entries()) {
      jobs.push(await job({ upload_key: uploadKey }, `${key}-${uploadKey}`).catch((error) => {
        if (i > 0) onPart(ready.slice(0, i), ready.length);
        throw error;
      }));
    }
    return jobs.length === 1 ? `/jobs/${jobs[0]?.job_id}` : "/jobs";
  }
  if (source === "products" && products.length === 1) {
    return `/jobs/${(await job({ product_id: products[0]?.id }, key)).job_id}`;
  }
  const which = source === "collection" ? { collection_id: collection?.id }
    : { product_ids: products.map(({ id }) => id) };
  const body = { workflow, parameters: wanted, ...which };
  return `/batches/${(await call("POST", "/v1/batches", { body, key })).public_id}`;
}

/** @param {CommonState & MakeState} state @param {MakeActions} act */
function view(state, act) {
  const { credits, operations, isSending, photos, source, workflow } = state;
  const isUploading = source === "files" && photos.some(({ key, error }) => !key && !error);
  return h("s-page", { heading: text("nav.make") },
    h("s-link", { slot: "breadcrumb-actions", href: "/" }, text("nav.review")),
    balanceBadges(credits),
    statusBanner(state, "make.failed"),
    frozenBanner(credits),
    h("s-section", { heading: text("make.what") }, workflowField(state, act)),
    photoSection(state, act),
    h("s-section", { key: "how", heading: text("make.how") },
      h("s-stack", { gap: "base" },
        imageFields(formOf(workflow).images, state, act),
        parameterFields(workflow, parametersIn(state), state.problems, act.setParameter,
          source === "products" ? state.guess : undefined))),
    h("s-section", { key: "price", heading: text("make.price") },
      h("s-stack", { gap: "base" },
        h("s-box", { accessibilityRole: "status" }, price(state)),
        notEnough(state),
        h("s-stack", { direction: "inline" },
          h("s-button", { variant: "primary", loading: isSending,
            disabled: !operations || isUploading, onClick: act.ask }, text("make.start"))))),
    h("s-modal", { id: "confirm", heading: text("make.confirm") },
      h("s-paragraph", null, price(state)),
      Object.keys(state.notes).length > 0 &&
        h("s-banner", { tone: "warning" }, h("s-paragraph", null, text("make.notTogether"))),
      h("s-paragraph", null, text("make.confirmDetails")),
      h("s-button", { slot: "primary-action", variant: "primary", commandFor: "confirm",
        command: "--hide", onClick: act.start }, text("make.start")),
      h("s-button", { slot: "secondary-actions", commandFor: "confirm", command: "--hide" },
        text("make.back"))),
    pickerModal(state, act));
}
