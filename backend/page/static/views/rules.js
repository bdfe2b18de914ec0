// The form of one rule: what it makes, when, of which products, and whether it publishes.
import { h } from "../elements.js";
import { workflowName } from "../states.js";
import { text } from "../words.js";
import "../words/settings.js";
import { parameterFields, problemsOf } from "./form.js";
import { FORMS, formOf, parametersOf, requestOf } from "./workflows.js";

/** @import { OperationResponse, SettingsResponse } from "atelier-api" */
/** @import { Problem } from "../api.js" */

/**
 * A rule as it is typed: a filter's values one a line, and a number as text.
 * @typedef {{ key: number, workflow: string, on: string[], statuses: string[], vendors: string,
 *   product_types: string, tags: string, parameters: Record<string, any>, publishes: boolean,
 *   position: string }} RuleForm
 */
/**
 * What a card needs besides its rule. `isRefused` tells whether the value of a field was refused;
 * a field is named as in the API, such as `filter.tags`.
 * @typedef {{ index: number, operations: OperationResponse[],
 *   isRefused: (field: string) => boolean, change: (change: Partial<RuleForm>) => void,
 *   uploadBackground: (files: readonly File[]) => unknown, refuse: (field: string) => void,
 *   remove: () => void }} CardContext
 */

export const MAX_RULES = 20;
const TRIGGERS = /** @type {const} */ (["product_created", "image_changed"]);
const STATUSES = /** @type {const} */ (["ACTIVE", "DRAFT", "ARCHIVED", "UNLISTED"]);
const LISTS = /** @type {const} */ (["vendors", "product_types", "tags"]);
const PREVIEWS = ["product-to-model-direct"]; // made on the app's own machines
const WITH_UPLOAD = "background-swap-with-image";

let lastKey = MAX_RULES;

/** A rule chooses no further image here, but for the background, which it keeps as an upload. */
/** @param {string} workflow */
const defaultsOf = (workflow) => ({
  ...(workflow === WITH_UPLOAD ? { background_upload_key: "" } : {}),
  ...formOf(workflow).parameters,
});

/** @param {string} workflow */
const isForRules = (workflow) => workflow === WITH_UPLOAD
  || Boolean(FORMS[workflow]?.isForMany && !FORMS[workflow].images.some((each) => each.isRequired));

/** @returns {RuleForm} */
export const newRule = () => ({
  key: ++lastKey, workflow: "catalog-image", on: [...TRIGGERS], statuses: [], vendors: "",
  product_types: "", tags: "", parameters: defaultsOf("catalog-image"), publishes: false,
  position: "",
});

/** @param {SettingsResponse["rules"][number]} rule @param {number} key @returns {RuleForm} */
export function ruleForm({ workflow, on = [], filter = {}, parameters = {}, ...rest }, key) {
  const publish = "publish" in rest ? rest.publish : null;
  return {
    key, workflow, on, statuses: filter.statuses ?? [],
    vendors: (filter.vendors ?? []).join("\n"),
    product_types: (filter.product_types ?? []).join("\n"),
    tags: (filter.tags ?? []).join("\n"),
    parameters: parametersOf(workflow, parameters), publishes: Boolean(publish),
    position: String(publish?.position ?? ""),
  };
}

/** The rule as the API takes it. @param {RuleForm} form */
export function ruleOf({ workflow, on, statuses, parameters, publishes, position, ...lists }) {
  const lines = LISTS.map((name) => [name, lists[name].split("\n").map(trimmed).filter(Boolean)]);
  const place = position.trim() ? toNumber(position) : null;
  const publish = publishes ? { position: place } : null;
  return {
    workflow, on, parameters: requestOf(parameters),
    filter: { statuses, ...Object.fromEntries(lines) },
    publish,
  };
}

/** @param {string} line */
const trimmed = (line) => line.trim();

/** The number, or else what was typed: the server then names the field. @param {string} typed */
export const toNumber = (typed) =>
  typed.trim() && Number.isFinite(Number(typed)) ? Number(typed) : typed;

/** The parameters without a value, as the server would report them. @param {RuleForm[]} rules */
export const missingInRules = (rules) =>
  rules.flatMap(({ parameters }, index) =>
    Object.keys(problemsOf(parameters)).map((name) => problemAt(index, `parameters.${name}`)));

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
      ...parametersSection(rule, context),
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
  const possible = operations.filter(({ name }) => name === workflow || isForRules(name));
  return h("s-select", { label: text("settings.workflow"), name: "workflow", value: workflow,
    details: isOff ? text("settings.workflow.off") : "",
    error: isRefused("workflow") ? text("settings.problem.other") : "",
    onChange: ({ currentTarget: { value } }) =>
      change({ workflow: value, parameters: defaultsOf(value),
        publishes: publishes && !isPreview(value, context) }) },
    possible.map(({ name, enabled, credits_cost: count }) =>
      h("s-option", { key: name, value: name, disabled: !enabled && name !== workflow },
        text("settings.workflow.price", { workflow: workflowName(name), count }))));
}

/** @param {RuleForm} rule @param {CardContext} context */
function parametersSection(rule, { isRefused, change, uploadBackground, refuse }) {
  const { workflow, parameters } = rule;
  const own = problemsOf(parameters);
  const refused = Object.keys(parameters).filter((name) => isRefused(`parameters.${name}`));
  const problems = refused.map((name) => [name, own[name] ?? text("settings.problem.other")]);
  return parameterFields(workflow, parameters, Object.fromEntries(problems), {
    set: (name, value) => change({ parameters: { ...parameters, [name]: value } }),
    rejected: (name) => refuse(`parameters.${name}`),
    uploadBackground,
  });
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
