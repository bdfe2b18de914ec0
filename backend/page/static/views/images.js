// Further images of a request: a person, a background or garments, each uploaded or chosen from the
// catalog. A person's photo is named here, but not shown.
import { h } from "../elements.js";
import { text, textOr } from "../words.js";
import { dropZone } from "./form.js";
import { formOf, imageField } from "./workflows.js";

/** @import { CatalogEntryResponse } from "atelier-api" */
/** @import { MakeActions, MakeState } from "./make.js" */
/** @import { Photo } from "./photos.js" */
/** @import { Image, Parameters } from "./workflows.js" */
/** @typedef {"catalog" | "upload" | "none"} Way */
/** @typedef {{ way: Way, entry: CatalogEntryResponse | null, photo: Photo | null }} Chosen */

/** How the image can be named, the usual way first. @param {Image} image @returns {Way[]} */
function waysOf({ upload, isRequired, catalog }) {
  /** @type {Way[]} */
  const ways = catalog === "backgrounds" ? ["upload", "catalog"] : ["catalog", "upload"];
  const possible = ways.filter((each) => each !== "upload" || upload);
  return isRequired ? possible : ["none", ...possible];
}

/** @param {MakeState["images"]} images @param {Image} image @returns {Chosen} */
export function chosenFor(images, image) {
  const { entry = null, photo = null, way } = images[image.name] ?? {};
  const ways = waysOf(image);
  const [usual = "none"] = ways;
  return { entry, photo, way: way && ways.includes(way) ? way : usual };
}

/** The request's fields for the further images. @param {MakeState} state @returns {Parameters} */
export const imagesOf = ({ workflow, images }) =>
  Object.assign({}, ...formOf(workflow).images.map((image) => {
    const { way, entry, photo } = chosenFor(images, image);
    if (way === "catalog" && entry) return { [image.entry]: entry.public_id };
    return way === "upload" && image.upload && photo ? { [image.upload]: photo.key } : {};
  }));

/** The parameters that have an effect beside these images. */
/** @param {MakeState} state @returns {Parameters} */
export function effectiveParameters({ workflow, parameters, images }) {
  const replaced = formOf(workflow).images
    .filter((image) => image.replaces && chosenFor(images, image).way !== "none")
    .map(({ replaces }) => replaces ?? "");
  return Object.fromEntries(Object.entries(parameters[workflow] ?? {})
    .filter(([name]) => !replaced.some((prefix) => name.startsWith(prefix))));
}

/** What is missing, and the person's photo that a batch would not keep, by field. */
/** @param {MakeState} state @param {boolean} isBatch @returns {Record<string, string>} */
export function imageProblems({ workflow, images }, isBatch) {
  const found = formOf(workflow).images.map((image) => {
    const { way, entry, photo } = chosenFor(images, image);
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

/** @param {MakeState} state @param {MakeActions} act */
export const imageFields = (state, act) =>
  formOf(state.workflow).images.map((image) => imageFieldset(image, state, act));

/** @param {Image} image @param {MakeState} state @param {MakeActions} act */
function imageFieldset(image, { images, problems }, act) {
  const chosen = chosenFor(images, image);
  const ways = waysOf(image);
  const problem = problems[imageField(image)] ?? "";
  const isShown = !(image.isPrivate && chosen.way === "upload");
  return h("s-stack", { key: image.name, gap: "small-200" },
    h("s-choice-list", { label: textOr(`image.${image.name}`, image.name), name: image.name,
      values: [chosen.way], error: problem,
      details: isShown ? "" : text("image.private"),
      onChange: (event) => act.setWay(image, /** @type {Way} */ (event.currentTarget.values[0])) },
      ways.map((each) => h("s-choice", { key: each, value: each }, wayText(image, each)))),
    chosen.way === "upload" && uploaded(image, chosen, act),
    chosen.way === "catalog" && fromCatalog(image, chosen, act));
}

/** @param {Image} image @param {Way} way */
const wayText = ({ replaces }, way) =>
  text(way === "none" && replaces ? "image.way.invented" : `image.way.${way}`);

/** @param {Image} image @param {Chosen} chosen @param {MakeActions} act */
const uploaded = (image, { photo }, act) =>
  h("s-stack", { gap: "small-200" },
    dropZone({ label: text("image.drop"), error: photo?.error ?? "" },
      (files) => act.uploadImage(image, files), () => act.rejected(imageField(image))),
    photo && !photo.key && !photo.error &&
      h("s-spinner", { accessibilityLabel: text("make.uploading") }),
    photo?.key && h("s-stack", { direction: "inline", gap: "small-200", alignItems: "center" },
      !image.isPrivate && h("s-thumbnail", { src: photo.url, alt: "" }),
      h("s-badge", { tone: "success" }, text("form.uploaded")),
      h("s-text", { color: "subdued" }, photo.file.name)));

/** @param {Image} image @param {Chosen} chosen @param {MakeActions} act */
const fromCatalog = (image, { entry }, act) =>
  h("s-stack", { direction: "inline", gap: "small-200", alignItems: "center" },
    entry?.thumbnail && h("s-thumbnail", { src: entry.thumbnail.image_url, alt: "" }),
    entry && h("s-text", null, entry.name),
    h("s-button", { key: "choose", onClick: () => act.openCatalog(image) },
      text(entry ? "image.change" : "image.choose")));
