// Further images of a request or a rule: a person, a background or garments, each uploaded or
// chosen from the catalog. A person's photo is named here, but not shown.
import { h } from "../elements.js";
import { text, textOr } from "../words.js";
import { dropZone } from "./form.js";
import { formOf, imageField } from "./workflows.js";

/** @import { CatalogEntryResponse, OperationResponse } from "atelier-api" */
/** @import { Picked, Picker, PickerContext } from "./catalog_picker.js" */
/** @import { Photo } from "./form.js" */
/** @import { Image, Parameters } from "./workflows.js" */
/** @typedef {"catalog" | "upload" | "none"} Way */
/** What is known of an entry. */
/** @typedef {Partial<CatalogEntryResponse> & { public_id: string, name: string }} Entry */
/** @typedef {{ way: Way, entry: Entry | null, photo: Photo | null }} Chosen */
/** What is chosen by the image's name. @typedef {Record<string, Chosen>} ChosenImages */
/**
 * What the fields show: `problems` and `notes` are by field.
 * @typedef {{ images: ChosenImages, problems: Record<string, string>,
 *   notes: Record<string, string> }} ImagesState
 */
/**
 * @typedef {{ setWay: (image: Image, way: Way) => unknown, openCatalog: (image: Image) => unknown,
 *   uploadImage: (image: Image, files: readonly File[]) => unknown,
 *   rejected: (field: string) => unknown }} ImageActions
 */

/**
 * The images that a rule can choose: for many jobs, so a person only from the catalog.
 * @param {string} workflow
 * @returns {Image[]}
 */
export const imagesToKeep = (workflow) => formOf(workflow).images.map(
  ({ upload, ...image }) => (image.isPrivate || !upload ? image : { ...image, upload }));

/** How the image can be named, the usual way first. @param {Image} image @returns {Way[]} */
function waysOf({ upload, isRequired, catalog }) {
  /** @type {Way[]} */
  const ways = catalog === "backgrounds" ? ["upload", "catalog"] : ["catalog", "upload"];
  const possible = ways.filter((each) => each !== "upload" || upload);
  return isRequired ? possible : ["none", ...possible];
}

/** @param {ChosenImages} chosen @param {Image} image @returns {Chosen} */
export function chosenFor(chosen, image) {
  const { entry = null, photo = null, way } = chosen[image.name] ?? {};
  const ways = waysOf(image);
  const [usual = "none"] = ways;
  return { entry, photo, way: way && ways.includes(way) ? way : usual };
}

/** @param {ChosenImages} chosen @param {Image} image @param {Partial<Chosen>} change */
export const chosenWith = (chosen, image, change) =>
  ({ ...chosen, [image.name]: { ...chosenFor(chosen, image), ...change } });

/** The request's fields for the images. */
/** @param {Image[]} images @param {ChosenImages} chosen @returns {Parameters} */
export const imagesOf = (images, chosen) =>
  Object.assign({}, ...images.map((image) => {
    const { way, entry, photo } = chosenFor(chosen, image);
    if (way === "catalog" && entry) return { [image.entry]: entry.public_id };
    return way === "upload" && image.upload && photo ? { [image.upload]: photo.key } : {};
  }));

/** The parameters that have an effect beside these images. */
/** @param {Image[]} images @param {ChosenImages} chosen @param {Parameters} parameters */
export function effectiveParameters(images, chosen, parameters) {
  const replaced = images
    .filter((image) => image.replaces && chosenFor(chosen, image).way !== "none")
    .map(({ replaces }) => replaces ?? "");
  return Object.fromEntries(Object.entries(parameters)
    .filter(([name]) => !replaced.some((prefix) => name.startsWith(prefix))));
}

/**
 * What is missing, and the person's photo that a batch would not keep, by field.
 * @param {Image[]} images
 * @param {ChosenImages} chosen
 * @param {boolean} [isBatch]
 * @returns {Record<string, string>}
 */
export function imageProblems(images, chosen, isBatch) {
  const found = images.map((image) => {
    const { way, entry, photo } = chosenFor(chosen, image);
    const has = way === "none" || (way === "catalog" ? entry : photo?.key);
    if (!has) {
      const missing = way === "catalog" ? "image.missing.catalog" : "image.missing.upload";
      return { [imageField(image)]: text(missing) };
    }
    const isKept = way === "upload" && image.isPrivate && isBatch;
    return isKept ? { [imageField(image)]: text("image.notInBatch") } : {};
  });
  return Object.assign({}, ...found);
}

/** @param {Image[]} images @param {ImagesState} state @param {ImageActions} act */
export const imageFields = (images, state, act) =>
  images.map((image) => imageFieldset(image, state, act));

/** @param {Image} image @param {ImagesState} state @param {ImageActions} act */
function imageFieldset(image, { images, problems, notes }, act) {
  const chosen = chosenFor(images, image);
  const ways = waysOf(image);
  const field = imageField(image);
  const isShown = !(image.isPrivate && chosen.way === "upload");
  return h("s-stack", { key: image.name, gap: "small-200" },
    h("s-choice-list", { label: textOr(`image.${image.name}`, image.name), name: image.name,
      values: [chosen.way], error: problems[field] ?? "",
      details: isShown ? "" : text("image.private"),
      onChange: (event) => act.setWay(image, /** @type {Way} */ (event.currentTarget.values[0])) },
      ways.map((each) => h("s-choice", { key: each, value: each }, wayText(image, each)))),
    chosen.way === "upload" && uploaded(image, chosen, act),
    chosen.way === "catalog" && fromCatalog(image, chosen, act),
    h("s-box", { accessibilityRole: "status" },
      notes[field] && h("s-text", { tone: "warning" }, notes[field])));
}

/** @param {Image} image @param {Way} way */
const wayText = ({ replaces }, way) =>
  text(way === "none" && replaces ? "image.way.invented" : `image.way.${way}`);

/** @param {Image} image @param {Chosen} chosen @param {ImageActions} act */
const uploaded = (image, { photo }, act) =>
  h("s-stack", { gap: "small-200" },
    dropZone({ label: text("image.drop"), error: photo?.error ?? "" },
      (files) => act.uploadImage(image, files), () => act.rejected(imageField(image))),
    photo && !photo.key && !photo.error &&
      h("s-spinner", { accessibilityLabel: text("make.uploading") }),
    photo?.key && h("s-stack", { direction: "inline", gap: "small-200", alignItems: "center" },
      !image.isPrivate && photo.url && h("s-thumbnail", { src: photo.url, alt: "" }),
      h("s-badge", { tone: "success" }, text("form.uploaded")),
      h("s-text", { color: "subdued" }, photo.file.name)));

/** @param {Image} image @param {Chosen} chosen @param {ImageActions} act */
const fromCatalog = (image, { entry }, act) =>
  h("s-stack", { direction: "inline", gap: "small-200", alignItems: "center" },
    entry?.thumbnail && h("s-thumbnail", { src: entry.thumbnail.image_url, alt: "" }),
    entry && h("s-text", null, entry.name),
    h("s-button", { key: "choose", onClick: () => act.openCatalog(image) },
      text(entry ? "image.change" : "image.choose")));

/** Choose an entry for the image, in a dialog. */
/** @param {PickerContext} context @param {Image} image @param {Picked} picked */
export async function openPicker(context, image, picked) {
  const { newPicker, readMore } = await import("./catalog_picker.js");
  context.set({ picker: newPicker(image, picked) });
  /** @type {HTMLElementTagNameMap["s-modal"]} */ (document.getElementById("catalog"))
    .showOverlay();
  await readMore(context);
}

/** @param {PickerContext} context */
export async function readCatalog(context) {
  const { readMore } = await import("./catalog_picker.js");
  await readMore(context);
}

/**
 * The dialog; empty before it is opened.
 * @param {{ picker: Picker | null, operations: OperationResponse[] | null }} state
 * @param {{ readCatalog: () => unknown }} act
 */
export const pickerModal = ({ picker, operations }, act) =>
  h("s-modal", { id: "catalog", heading: picker ? text(`picker.${picker.image.catalog}`)
    : text("image.choose") }, picker?.draw(picker, operations, act.readCatalog));
