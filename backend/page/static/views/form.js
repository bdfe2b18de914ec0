// The fields of a workflow's parameters, with the API's names, bounds and defaults; and the fields
// for pictures.
import { ApiError, call } from "../api.js";
import { h } from "../elements.js";
import { errorText, text, textOr } from "../words.js";
import "../words/make.js";
import { choicesOf, formOf, lastName } from "./workflows.js";

/** @typedef {{ size: number, format: string }} Output */
/** @import { UploadResponse } from "atelier-api" */
/** @import { Parameters } from "./workflows.js" */

/**
 * A picture of the merchant's. `key` is null until it is uploaded, or if it can't be.
 * @typedef {{ file: { name: string }, key: string | null, url: string,
 *   error: string | null }} Photo
 */

// Not HEIC: an iPhone then sends a JPEG, which every installation reads.
const PHOTO_TYPES = "image/jpeg,image/png,image/webp,image/avif,image/gif,image/tiff";
const MAX_BYTES = 25_000_000;
const FORMATS = ["jpeg", "webp", "avif"];
const MAX_OUTPUTS = 8;
const MAX_COLOURS = 3;
const MAX_SEED = 2 ** 31 - 1;
// Shown only when asked for: what an engine chooses well by itself.
const ADVANCED = ["seed", "build", "skin_tone", "hair", "hair_color", "pose", "aspect_ratio"];

/**
 * What is wrong with the parameters, by name.
 * @param {Parameters} parameters
 * @returns {Record<string, string>}
 */
export function problemsOf(parameters) {
  const { margin = 0, outputs = [], seed = null } = parameters;
  const missing = Object.keys(parameters).filter((name) => parameters[name] === "");
  const kinds = outputs.map((/** @type {Output} */ { size, format }) => `${size} ${format}`);
  const isSize = (/** @type {Output} */ { size }) =>
    Number.isInteger(size) && size >= 256 && size <= 4096;
  const isSeed = seed === null || (Number.isInteger(seed) && seed >= 0 && seed <= MAX_SEED);
  return {
    ...Object.fromEntries(missing.map((name) => [name, text("form.missing")])),
    ...(margin >= 0 && margin <= 0.4 ? {} : { margin: text("form.wrongMargin") }),
    ...(isSeed ? {} : { seed: text("form.wrongSeed", { most: MAX_SEED }) }),
    ...(new Set(kinds).size === kinds.length ? {} : { outputs: text("form.same") }),
    ...(outputs.every(isSize) ? {} : { outputs: text("form.wrongSize") }),
  };
}

/** What the fields call with a new value. */
/** @typedef {(name: string, value: unknown) => unknown} SetParameter */

/**
 * The fields of the parameters; those that are seldom needed are folded.
 * @param {string} workflow
 * @param {Parameters} parameters
 * @param {Record<string, string>} problems By name.
 * @param {SetParameter} set
 * @param {string | null} [guess] The category that the product's words name; null if none.
 */
export function parameterFields(workflow, parameters, problems, set, guess) {
  const own = formOf(workflow).parameters;
  const names = Object.keys(parameters).filter((name) => name in own);
  const isAdvanced = (/** @type {string} */ name) => ADVANCED.includes(lastName(name));
  const advanced = names.filter(isAdvanced);
  const drawn = (/** @type {string} */ name) =>
    parameterField(workflow, name, parameters[name], problems[name] ?? "", set, guess);
  return [
    ...names.filter((name) => !isAdvanced(name)).map(drawn),
    advanced.length > 0 && h("details", { key: "advanced",
      ref: (/** @type {HTMLDetailsElement | null} */ element) => { // it stays open afterwards
        if (element && advanced.some((name) => problems[name])) element.open = true;
      } },
      h("summary", { style: { minHeight: "24px", cursor: "pointer" } }, text("form.advanced")),
      h("s-stack", { gap: "base" }, advanced.map(drawn))),
  ];
}

/**
 * @param {string} workflow @param {string} path @param {any} value @param {string} error
 * @param {SetParameter} set @param {string | null | undefined} guess
 */
function parameterField(workflow, path, value, error, set, guess) {
  const name = lastName(path);
  const label = textOr(`form.${path}`, textOr(`form.${name}`, path));
  const field = { key: path, label, error };
  const change = (/** @type {unknown} */ to) => set(path, to);
  const choices = choicesOf(workflow, path);
  const isOptional = formOf(workflow).parameters[path] === null;
  if (choices) return choice(field, name, value, { choices, isOptional, guess }, change);
  if (name === "margin") return margin(field, value, change);
  if (name === "background") return colour(field, value, change);
  if (name === "color") return colour(field, value ?? "", (to) => change(to || null));
  if (name === "dominant_colors") return colours(field, value, change, path === name ? 1 : 0);
  if (name === "outputs") return outputs(field, value, change);
  if (name === "seed") return seed(field, value, change);
  return ownWords(field, name, value, change);
}

/** @typedef {{ key: string, label: string, error: string }} Field */
/** @typedef {(value: any) => unknown} Change */

/**
 * @param {Field} field
 * @param {string} name
 * @param {string | null} value "" before there is a choice.
 * @param {{ choices: string[], isOptional: boolean, guess: string | null | undefined }} known
 * @param {Change} set
 */
const choice = (field, name, value, { choices, isOptional, guess }, set) =>
  h("s-select", { ...field, value: value ?? "",
    details: name === "category" && value === null ? guessText(guess, choices) : "",
    onChange: ({ currentTarget: { value: to } }) => set(isOptional && !to ? null : to) },
    isOptional
      ? h("s-option", { value: "" }, text(name === "category" ? "form.open.category" : "form.open"))
      : value === "" && h("s-option", { value: "" }, text("form.choose")),
    choices.map((each) => h("s-option", { key: each, value: each }, choiceText(name, each))));

/** @param {string | null | undefined} guess @param {string[]} choices */
function guessText(guess, choices) {
  if (guess === undefined) return "";
  return guess && choices.includes(guess)
    ? text("form.guess", { category: choiceText("category", guess) }) : text("form.noGuess");
}

/** @param {string} name @param {string} value */
export const choiceText = (name, value) =>
  textOr(`form.choice.${name}.${value}`, textOr(`form.choice.${value}`, value));

// Preact sets a field's `value` whenever it draws, so what is typed is kept at each `input`.
/** NaN while there is none. @param {{ value: string }} field */
const numberIn = ({ value }) => (value.trim() ? Number(value) : NaN);
/** @param {number} value */
const numberText = (value) => (Number.isNaN(value) ? "" : String(value));

/** @param {Field} field @param {number} value @param {Change} set */
const margin = (field, value, set) =>
  h("s-number-field", { ...field, details: text("form.margin.details"), min: 0, max: 40,
    suffix: "%", value: numberText(Math.round(value * 100)),
    onInput: (event) => set(numberIn(event.currentTarget) / 100) });

/** @param {Field} field @param {string} value @param {Change} set */
const colour = (field, value, set) =>
  h("s-color-field", { ...field, value, onInput: (event) => set(event.currentTarget.value),
    onChange: (event) => set(event.currentTarget.value.toLowerCase()) });

/** Up to three colours. */
/** @param {Field} field @param {string[]} values @param {Change} set @param {number} least */
const colours = ({ key, label, error }, values, set, least) =>
  h("s-stack", { key, gap: "small-200" },
    values.map((value, i) =>
      colour({ key: `${i}`, error: i ? "" : error, label: text("form.nth", { label, n: i + 1 }) },
        value, (to) => set(values.with(i, to)))),
    h("s-stack", { direction: "inline", gap: "small-200" },
      values.length < MAX_COLOURS && h("s-button",
        { onClick: () => set([...values, "#ffffff"]) }, text("form.addColour")),
      values.length > least && h("s-button",
        { onClick: () => set(values.slice(0, -1)) }, text("form.removeColour"))));

/** @param {Field} field @param {number | null} value @param {Change} set */
const seed = (field, value, set) =>
  h("s-number-field", { ...field, details: text("form.seed.details"), min: 0, max: MAX_SEED,
    value: value === null ? "" : numberText(value),
    onInput: ({ currentTarget }) => set(currentTarget.value ? numberIn(currentTarget) : null) });

/** @param {Field} field @param {string} name @param {string | null} value @param {Change} set */
const ownWords = (field, name, value, set) => {
  const shared = { ...field, value: value ?? "",
    onInput: (/** @type {any} */ event) => set(event.currentTarget.value || null) };
  return name === "name" ? h("s-text-field", { ...shared, maxLength: 100 })
    : h("s-text-area", { ...shared, maxLength: 300, rows: 2,
      details: text("form.details.details") });
};

/** The sizes and formats. @param {Field} field @param {Output[]} values @param {Change} set */
const outputs = ({ key, label, error }, values, set) =>
  h("s-stack", { key, gap: "small-200" },
    h("s-text", { type: "strong" }, label),
    values.map(({ size, format }, i) =>
      h("s-grid", { key: i, gridTemplateColumns: "1fr 1fr auto", gap: "small-200",
        alignItems: "end" },
        h("s-number-field", { label: text("form.longSide", { n: i + 1 }), min: 256, max: 4096,
          suffix: "px", value: numberText(size), onInput: (event) =>
            set(values.with(i, { size: numberIn(event.currentTarget), format })) }),
        h("s-select", { label: text("form.format", { n: i + 1 }), value: format,
          onChange: (event) => set(values.with(i, { size, format: event.currentTarget.value })) },
          FORMATS.map((each) => h("s-option", { key: each, value: each }, each.toUpperCase()))),
        h("s-button", { icon: "delete", variant: "tertiary", disabled: values.length === 1,
          accessibilityLabel: text("form.removeOutput", { n: i + 1 }),
          onClick: () => set(values.toSpliced(i, 1)) }))),
    error && h("s-text", { tone: "critical" }, error),
    values.length < MAX_OUTPUTS && h("s-stack", { direction: "inline" },
      h("s-button", { onClick: () => set([...values, { size: 1024, format: "jpeg" }]) },
        text("form.addOutput"))));

/**
 * Where photos are dropped.
 * @param {{ label: string, error?: string, key?: string, multiple?: boolean }} field
 * @param {(files: readonly File[]) => unknown} onFiles
 * @param {() => unknown} onRejected For files of another type, which Polaris keeps back.
 */
export const dropZone = (field, onFiles, onRejected) =>
  h("s-drop-zone", { ...field, accept: PHOTO_TYPES, onDropRejected: onRejected,
    onChange: (event) => onFiles(event.currentTarget.files) });

/** @template {{ name: string }} F @param {F} file */
export const newPhoto = (file) => ({ file, key: null, url: "", error: null });

/** The photo with its upload's key, or with the reason why it has none. */
/** @template {Photo & { file: File }} P @param {P} photo @returns {Promise<P>} */
export async function upload(photo) {
  const { file } = photo;
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
