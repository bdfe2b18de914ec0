// The form of one rule: what it makes, when, of which products, and whether it publishes.
import { h } from "../elements.js";
import { workflowName } from "../states.js";
import { text } from "../words.js";
import "../words/settings.js";
import { parameterFields, problemsOf } from "./form.js";
import {
  chosenFor, effectiveParameters, imageFields, imageProblems, imagesOf, imagesToKeep,
} from "./images.js";
import { FORMS, formOf, imageField, parametersOf, requestOf } from "./workflows.js";

/** @import { CatalogEntryResponse, OperationResponse, SettingsResponse } from "atelier-api" */
/** @import { Problem } from "../api.js" */
/** @import { ChosenImages, ImageActions } from "./images.js" */
/** @import { Parameters } from "./workflows.js" */

/**
 * A rule as it is typed: a filter's values one a line, and a number as text. `images` are its
 * further images; of a saved rule's entry there is only the ID.
 * @typedef {{ key: number, workflow: string, on: string[], statuses: string[], vendors: string,
 *   product_types: string, tags: string, parameters: Parameters, images: ChosenImages,
 *   publishes: boolean, position: string }} RuleForm
 */
/**
 * What a card needs besides its rule. `isRefused` tells whether the value of a field was refused;
 * a field is named as in the API, such as `filter.tags`. `entries` are those of the catalog that
 * saved rules name, by ID; null if there is none any more.
 * @typedef {{ index: number, operations: OperationResponse[], entries: Entries,
 *   isRefused: (field: string) => boolean, change: (change: Partial<RuleForm>) => void,
 *   images: ImageActions, remove: () => void }} CardContext
 */
/** @typedef {Record<string, CatalogEntryResponse | null>} Entries */

export const MAX_RULES = 20;
const TRIGGERS = /** @type {const} */ (["product_created", "image_changed"]);
const STATUSES = /** @type {const} */ (["ACTIVE", "DRAFT", "ARCHIVED", "UNLISTED"]);
const LISTS = /** @type {const} */ (["vendors", "product_types", "tags"]);
const PREVIEWS = ["product-to-model-direct"]; // made on the app's own machines

let lastKey = MAX_RULES;

/** @returns {RuleForm} */
export const newRule = () => ({
  key: ++lastKey, workflow: "catalog-image", on: [...TRIGGERS], statuses: [], vendors: "",
  product_types: "", tags: "", parameters: formOf("catalog-image").parameters, images: {},
  publishes: false, position: "",
});

/** @param {SettingsResponse["rules"][number]} rule @param {number} key @returns {RuleForm} */
export function ruleForm({ workflow, on = [], filter = {}, parameters = {}, ...rest }, key) {
  const publish = "publish" in rest ? rest.publish : null;
  return {
    key, workflow, on, statuses: filter.statuses ?? [],
    vendors: (filter.vendors ?? []).join("\n"),
    product_types: (filter.product_types ?? []).join("\n"),
    tags: (filter.tags ?? []).join("\n"),
    parameters: parametersOf(workflow, parameters), images: imagesIn(workflow, parameters),
    publishes: Boolean(publish), position: String(publish?.position ?? ""),
  };
}

/** The images that a rule names. */
/** @param {string} workflow @param {Parameters} parameters @returns {ChosenImages} */
function imagesIn(workflow, parameters) {
  /** @type {ChosenImages} */
  const chosen = {};
  for (const { name, entry, upload } of imagesToKeep(workflow)) {
    const id = parameters[entry];
    const key = upload && parameters[upload];
    const found = id && { public_id: id, name: "" }; // the entry itself comes later
    const photo = key && { key, url: "", error: null, file: { name: "" } };
    if (found) chosen[name] = { way: "catalog", entry: found, photo: null };
    else if (photo) chosen[name] = { way: "upload", entry: null, photo };
  }
  return chosen;
}

/** The paths of the catalog entries that saved rules name, by ID. */
/** @param {SettingsResponse["rules"]} rules @returns {Record<string, string>} */
export const entryPaths = (rules) =>
  Object.fromEntries(rules.map(ruleForm).flatMap(({ workflow, images }) =>
    imagesToKeep(workflow).flatMap(({ name, catalog }) => {
      const id = images[name]?.entry?.public_id;
      return id ? [[id, `/v1/catalog/${catalog}/${id}`]] : [];
    })));

/** The rule as the API takes it. @param {RuleForm} form */
export function ruleOf({ workflow, on, statuses, publishes, position, ...rest }) {
  const lines = LISTS.map((name) => [name, rest[name].split("\n").map(trimmed).filter(Boolean)]);
  const place = position.trim() ? toNumber(position) : null;
  const publish = publishes ? { position: place } : null;
  return {
    workflow, on, parameters: {
      ...requestOf(parametersIn({ workflow, ...rest })),
      ...imagesOf(imagesToKeep(workflow), rest.images),
    },
    filter: { statuses, ...Object.fromEntries(lines) },
    publish,
  };
}

/** The parameters that have an effect. */
/** @param {Pick<RuleForm, "workflow" | "images" | "parameters">} rule */
const parametersIn = ({ workflow, images, parameters }) =>
  effectiveParameters(imagesToKeep(workflow), images, parameters);

/** What is missing or impossible, by field. @param {RuleForm} rule */
const problemsIn = (rule) => ({
  ...problemsOf(parametersIn(rule)), ...imageProblems(imagesToKeep(rule.workflow), rule.images),
});

/** @param {string} line */
const trimmed = (line) => line.trim();

/** The number, or else what was typed: the server then names the field. @param {string} typed */
export const toNumber = (typed) =>
  typed.trim() && Number.isFinite(Number(typed)) ? Number(typed) : typed;

/** The parameters without a value, as the server would report them. @param {RuleForm[]} rules */
export const missingInRules = (rules) =>
  rules.flatMap((rule, index) =>
    Object.keys(problemsIn(rule)).map((name) => problemAt(index, `parameters.${name}`)));

/**
 * A problem that the page finds itself, as the server would report it.
 * @param {number} index @param {string} field
 * @returns {Problem}
 */
export const problemAt = (index, field) =>
  ({ loc: ["body", "rules", index, ...field.split(".")], msg: field, type: "value_error" });

/** @param {RuleForm} rule @param {CardContext} context */
export function ruleCard(rule, context) {
  const { index, remove } = context;
  const name = workflowName(rule.workflow);
  return h("s-section", { key: rule.key,
    heading: text("settings.rule", { count: index + 1, workflow: name }) },
    h("s-stack", { gap: "base" },
      workflowField(rule, context),
      imagesSection(rule, context),
      parametersSection(rule, context),
      triggers(rule, context),
      filters(rule, context),
      (rule.publishes || !isPreview(rule.workflow, context)) && publication(rule, context),
      h("s-stack", { direction: "inline" },
        h("s-button", { tone: "critical", icon: "delete", onClick: remove,
          accessibilityLabel: text("settings.rule.removeThis", { count: index + 1 }) },
          text("settings.rule.remove")))));
}

/** Whether its images can't be published. @param {string} workflow @param {CardContext} context */
const isPreview = (workflow, { operations }) => PREVIEWS.includes(workflow)
  && !operations.some(({ name, hosted }) => name === workflow && hosted);

/** @param {RuleForm} rule @param {CardContext} context */
function workflowField({ workflow, publishes }, context) {
  const { operations, isRefused, change } = context;
  const isOff = operations.some(({ name, enabled }) => name === workflow && !enabled);
  const possible = operations.filter(({ name }) => name === workflow || FORMS[name]?.isForMany);
  return h("s-select", { label: text("settings.workflow"), name: "workflow", value: workflow,
    details: isOff ? text("settings.workflow.off") : "",
    error: isRefused("workflow") ? text("settings.problem.other") : "",
    onChange: ({ currentTarget: { value } }) =>
      change({ workflow: value, parameters: formOf(value).parameters, images: {},
        publishes: publishes && !isPreview(value, context) }) },
    possible.map(({ name, enabled, credits_cost: count }) =>
      h("s-option", { key: name, value: name, disabled: !enabled && name !== workflow },
        text("settings.workflow.price", { workflow: workflowName(name), count }))));
}

/** The further images. A rule whose entry is archived or deleted does not run. */
/** @param {RuleForm} rule @param {CardContext} context */
function imagesSection(rule, { entries, isRefused, images: act }) {
  const images = imagesToKeep(rule.workflow);
  const own = problemsIn(rule);
  /** @type {ChosenImages} */
  const known = {};
  /** @type {Record<string, string>} */
  const problems = {};
  /** @type {Record<string, string>} */
  const notes = {};
  for (const image of images) {
    const field = imageField(image);
    const chosen = chosenFor(rule.images, image);
    const found = chosen.entry && entries[chosen.entry.public_id];
    known[image.name] = found ? { ...chosen, entry: found } : chosen;
    if (isRefused(`parameters.${field}`)) {
      problems[field] = own[field] ?? text("form.dropRejected");
    } else if ([image.entry, image.upload].some((each) => isRefused(`parameters.${each}`))) {
      problems[field] = text("image.refused");
    } else if (found === null && chosen.entry) notes[field] = text("image.refused");
    else if (found?.archived_at) notes[field] = text("settings.archived");
  }
  return imageFields(images, { images: known, problems, notes }, act);
}

/** @param {RuleForm} rule @param {CardContext} context */
function parametersSection(rule, { isRefused, change }) {
  const { workflow, parameters } = rule;
  const own = problemsIn(rule);
  const shown = parametersIn(rule);
  const refused = Object.keys(shown).filter((name) => isRefused(`parameters.${name}`));
  const problems = refused.map((name) => [name, own[name] ?? text("settings.problem.other")]);
  return parameterFields(workflow, shown, Object.fromEntries(problems),
    (name, value) => change({ parameters: { ...parameters, [name]: value } }));
}

/** @param {RuleForm} rule @param {CardContext} context */
const triggers = ({ on }, { isRefused, change }) =>
  h("s-choice-list", { label: text("settings.on"), name: "on", multiple: true, values: on,
    error: isRefused("on") ? text("settings.problem.on") : "",
    onChange: (event) => change({ on: event.currentTarget.values ?? [] }) },
    TRIGGERS.map((each) =>
      h("s-choice", { key: each, value: each }, text(`settings.on.${each}`))));

/** @param {RuleForm} rule @param {CardContext} context */
const filters = (rule, { isRefused, change }) => [
  h("s-heading", { key: "heading" }, text("settings.filter")),
  h("s-choice-list", { key: "statuses", label: text("settings.statuses"), name: "statuses",
    multiple: true, values: rule.statuses, details: text("settings.statuses.details"),
    error: isRefused("filter.statuses") ? text("settings.problem.other") : "",
    onChange: (event) => change({ statuses: event.currentTarget.values ?? [] }) },
    STATUSES.map((each) =>
      h("s-choice", { key: each, value: each }, text(`settings.status.${each}`)))),
  h("s-grid", { key: "lists", gap: "base",
    gridTemplateColumns: "repeat(auto-fit, minmax(200px, 1fr))" },
    LISTS.map((each) =>
      h("s-text-area", { key: each, label: text(`settings.${each}`), name: each, rows: 3,
        value: rule[each], details: text("settings.lines"),
        error: isRefused(`filter.${each}`) ? text("settings.problem.lines") : "",
        onInput: (event) => change({ [each]: event.currentTarget.value }) }))),
];

/** @param {RuleForm} rule @param {CardContext} context */
const publication = ({ publishes, position }, { isRefused, change }) => [
  h("s-switch", { key: "publish", label: text("settings.publish"), name: "publish",
    checked: publishes, details: text("settings.publish.details"),
    onChange: (event) => change({ publishes: event.currentTarget.checked }) }),
  publishes && h("s-number-field", { key: "position", label: text("settings.position"),
    name: "position", value: position, min: 1, max: 250,
    details: text("settings.position.details"),
    error: isRefused("publish") ? text("settings.problem.position") : "",
    onInput: (event) => change({ position: event.currentTarget.value }) }),
];
