// The dialog that chooses an entry of the catalog: thumbnails, newest first, page by page. Loaded
// when it is opened.
import { ApiError, nextPage } from "../api.js";
import { h } from "../elements.js";
import { errorText, text } from "../words.js";
import { GENERATORS } from "./workflows.js";

/** @import { CatalogEntryResponse, OperationResponse } from "atelier-api" */
/** @import { Context } from "../screen.js" */
/** @import { Image } from "./workflows.js" */
/**
 * What is called with the choice. `make` opens the form of a generator; without it, a link does.
 * @typedef {{ pick: (entry: CatalogEntryResponse) => unknown,
 *   make?: (generator: string) => unknown }} Picked
 */
/**
 * The image that is being chosen, and the entries so far. `draw` is this module's own view.
 * @typedef {Picked & { image: Image, entries: CatalogEntryResponse[] | null, next: string | null,
 *   isReading: boolean, problem: string, draw: typeof pickerContent }} Picker
 */
/**
 * A screen that has the dialog.
 * @typedef {Pick<Context<{ picker: Picker | null }>, "answer" | "set" | "state">} PickerContext
 */

const COLUMNS = "repeat(auto-fill, minmax(min(120px, 100%), 1fr))";
const PAGE = 24;

/** @param {Image} image @param {Picked} picked @returns {Picker} */
export const newPicker = (image, picked) => ({
  ...picked, image, entries: null, isReading: false, problem: "",
  next: `/v1/catalog/${image.catalog}?limit=${PAGE}`, draw: pickerContent,
});

/** Read the next page. Errors are shown in the dialog. @param {PickerContext} context */
export async function readMore({ answer, set, state }) {
  const { picker } = state();
  if (!picker?.next || picker.isReading) return;
  const change = (/** @type {Partial<Picker>} */ some) => {
    const now = state().picker;
    if (now?.image === picker.image) set({ picker: { ...now, ...some } });
  };
  change({ isReading: true, problem: "" });
  try {
    const { body, headers } = await answer(picker.next);
    const entries = [...(picker.entries ?? []), ...body.entries];
    change({ entries, next: nextPage(headers), isReading: false });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    change({ problem: errorText(error), isReading: false });
  }
}

/**
 * @param {Picker} picker
 * @param {OperationResponse[] | null} operations
 * @param {() => unknown} readNext
 */
function pickerContent(picker, operations, readNext) {
  const { entries, next, isReading, problem, pick } = picker;
  return h("s-stack", { gap: "base" },
    !entries && !problem && h("s-spinner", { accessibilityLabel: text("state.loading") }),
    entries?.length === 0 && nothing(picker, operations),
    entries && entries.length > 0 && h("div", { role: "list",
      style: { display: "grid", gap: "12px", gridTemplateColumns: COLUMNS } },
      entries.map((entry) => h("div", { key: entry.public_id, role: "listitem" },
        choice(entry, pick)))),
    problem && h("s-text", { tone: "critical" }, problem),
    next && (entries || problem) && h("s-stack", { alignItems: "center" },
      h("s-button", { loading: isReading, onClick: readNext },
        text(problem ? "state.again" : "list.more"))));
}

/** @param {CatalogEntryResponse} entry @param {Picker["pick"]} pick */
const choice = (entry, pick) =>
  h("s-clickable", { commandFor: "catalog", command: "--hide", borderRadius: "base",
    border: "base", padding: "small-300", onClick: () => pick(entry),
    accessibilityLabel: text("picker.choose", { name: entry.name }) },
    h("s-stack", { gap: "small-300" },
      entry.thumbnail && h("s-image", { src: entry.thumbnail.image_url, alt: "", loading: "lazy",
        aspectRatio: "1/1", objectFit: "contain" }),
      h("s-text", null, entry.name)));

/** The way to the generator that makes the first entry. */
/** @param {Picker} picker @param {OperationResponse[] | null} operations */
function nothing({ image: { catalog }, make }, operations) {
  const generator = GENERATORS[catalog];
  const isOffered = operations?.some(({ name, enabled }) => name === generator && enabled);
  return h("s-empty-state", { heading: text(`picker.none.${catalog}`) },
    h("s-text", { slot: "subheading" }, text("picker.none.details")),
    isOffered && h("s-button", { slot: "primary-action", variant: "primary",
      ...(make ? { commandFor: "catalog", command: "--hide", onClick: () => make(generator) }
        : { href: `/make?workflow=${generator}` }) },
      text(`picker.make.${catalog}`)));
}
