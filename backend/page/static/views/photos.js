// The photos that images are made of: products, a collection, or the merchant's own files.
import { h } from "../elements.js";
import { text } from "../words.js";
import { dropZone } from "./form.js";
import { formOf } from "./workflows.js";

/** @import { Photo } from "./form.js" */
/** @import { MakeActions, MakeState } from "./make.js" */
/** @typedef {Photo & { file: File }} OwnPhoto */

export const MAX_PHOTOS = 20;
const SOURCES = /** @type {const} */ (["products", "collection", "files"]);

/** @param {File} a @param {File} b */
export const isSame = (a, b) =>
  a.name === b.name && a.size === b.size && a.lastModified === b.lastModified;

/** The places that photos can come from: only a batch takes a collection. */
/** @param {string} workflow */
export const sourcesOf = (workflow) =>
  SOURCES.filter((each) => each !== "collection" || formOf(workflow).isForMany);

/** @param {MakeState} state @param {MakeActions} act */
export function photoSection(state, act) {
  const { source, workflow, problems } = state;
  if (!formOf(workflow).hasPhoto) return null;
  return h("s-section", { key: "photos", heading: text("make.photos") },
    h("s-stack", { gap: "base" },
      h("s-choice-list", { label: text("make.source"), name: "source", values: [source],
        labelAccessibilityVisibility: "exclusive",
        onChange: (event) => act.setSource(
          /** @type {MakeState["source"]} */ (event.currentTarget.values[0])) },
        sourcesOf(workflow).map((each) =>
          h("s-choice", { key: each, value: each }, text(`make.source.${each}`)))),
      source === "files" ? ownPhotos(state.photos, act) : shopPhotos(state, act),
      problems.source && h("s-text", { tone: "critical" }, problems.source)));
}

/** @param {MakeState} state @param {MakeActions} act */
function shopPhotos({ source, products, collection }, act) {
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

/** @param {OwnPhoto[]} photos @param {MakeActions} act */
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
