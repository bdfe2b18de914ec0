// The fields of a workflow's parameters, with the API's names, bounds and defaults.
import { h } from "../elements.js";
import { text, textOr } from "../words.js";
import "../words/make.js";

/** @typedef {{ size: number, format: string }} Output */
/** @typedef {Record<string, any>} Parameters */

export const PHOTO_TYPES = "image/jpeg,image/png,image/webp";
const FORMATS = ["jpeg", "webp", "avif"];
const MAX_OUTPUTS = 8;
const MAX_COLOURS = 3;

const OUTPUTS = [{ size: 2048, format: "jpeg" }, { size: 1024, format: "webp" }];
/**
 * The parameters of each workflow as the API has them, with its defaults. `null` has to be chosen.
 * @type {Record<string, Parameters>}
 */
export const DEFAULTS = {
  "catalog-image": { background: "#ffffff", margin: 0.08, shadow: "none", outputs: OUTPUTS },
  "product-to-model-direct": {
    category: null, body: "female", background: "#f4f4f2", outputs: OUTPUTS,
  },
  "background-swap-with-spec": {
    scene_type: null, mood: "neutral", dominant_colors: ["#e8e4de"], shadow: "contact",
    outputs: OUTPUTS,
  },
  "background-swap-with-image": {
    background_upload_key: null, shadow: "contact", outputs: OUTPUTS,
  },
};
/** @type {Record<string, string[]>} */
const CHOICES = {
  shadow: ["none", "contact"],
  category: ["top", "bottom", "dress"],
  body: ["female", "male"],
  scene_type: ["studio", "tabletop", "wall", "spotlight"],
  mood: ["neutral", "bright", "warm", "cool", "dramatic"],
};

/**
 * What is wrong with the parameters, by name.
 * @param {Parameters} parameters
 * @returns {Record<string, string>}
 */
export function problemsOf(parameters) {
  const { margin = 0, outputs } = parameters;
  const missing = Object.keys(parameters).filter((name) => parameters[name] === null);
  const kinds = outputs.map((/** @type {Output} */ { size, format }) => `${size} ${format}`);
  const isSize = (/** @type {Output} */ { size }) =>
    Number.isInteger(size) && size >= 256 && size <= 4096;
  return {
    ...Object.fromEntries(missing.map((name) => [name, text("form.missing")])),
    ...(margin >= 0 && margin <= 0.4 ? {} : { margin: text("form.wrongMargin") }),
    ...(new Set(kinds).size === kinds.length ? {} : { outputs: text("form.same") }),
    ...(outputs.every(isSize) ? {} : { outputs: text("form.wrongSize") }),
  };
}

/**
 * The fields of the parameters.
 * @param {Parameters} parameters
 * @param {Record<string, string>} problems By name.
 * @param {{ set: (name: string, value: unknown) => unknown, rejected: (name: string) => unknown,
 *   uploadBackground: (files: readonly File[]) => unknown }} act
 */
export const parameterFields = (parameters, problems, { set, rejected, uploadBackground }) =>
  Object.entries(parameters).map(([name, value]) => {
    const label = textOr(`form.${name}`, name);
    const field = { key: name, label, error: problems[name] ?? "" };
    const change = (/** @type {unknown} */ to) => set(name, to);
    if (CHOICES[name]) return choice(field, value, CHOICES[name], change);
    if (name === "margin") return margin(field, value, change);
    if (name === "background") return colour(field, value, change);
    if (name === "dominant_colors") return colours(field, value, change);
    if (name === "outputs") return outputs(field, value, change);
    return h("s-stack", { key: name, gap: "small" },
      dropZone(field, uploadBackground, () => rejected(name)),
      value && h("s-badge", { tone: "success" }, text("form.uploaded")));
  });

/** @typedef {{ key: string, label: string, error: string }} Field */
/** @typedef {(value: any) => unknown} Change */

/**
 * @param {Field} field
 * @param {string | null} value
 * @param {string[]} choices
 * @param {Change} set
 */
const choice = (field, value, choices, set) =>
  h("s-select", { ...field, value: value ?? "",
    onChange: (event) => set(event.currentTarget.value || null) },
    value === null && h("s-option", { value: "" }, text("form.choose")),
    choices.map((each) =>
      h("s-option", { key: each, value: each }, textOr(`form.choice.${each}`, each))));

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

/** One to three colours. @param {Field} field @param {string[]} values @param {Change} set */
const colours = ({ key, label, error }, values, set) =>
  h("s-stack", { key, gap: "small-200" },
    values.map((value, i) =>
      colour({ key: `${i}`, error: i ? "" : error, label: text("form.nth", { label, n: i + 1 }) },
        value, (to) => set(values.with(i, to)))),
    h("s-stack", { direction: "inline", gap: "small-200" },
      values.length < MAX_COLOURS && h("s-button",
        { onClick: () => set([...values, "#ffffff"]) }, text("form.addColour")),
      values.length > 1 && h("s-button",
        { onClick: () => set(values.slice(0, -1)) }, text("form.removeColour"))));

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
