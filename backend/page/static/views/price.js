// What can be made, what it costs, and whether the shop's credits are enough.
import { buyButton, isCharged, shortage } from "../credits.js";
import { h } from "../elements.js";
import { workflowName } from "../states.js";
import { text, textOr } from "../words.js";
import { formOf, GROUPS } from "./workflows.js";

/** @import { MakeActions, MakeState } from "./make.js" */

const GROUP_NAMES = /** @type {(keyof typeof GROUPS)[]} */ (Object.keys(GROUPS));

/** The choice of a workflow, with prices. One that is not offered says why. */
/** @param {MakeState} state @param {MakeActions} act */
export const workflowField = (state, act) =>
  h("s-select", { label: text("make.workflow"), value: state.workflow, details: about(state),
    error: state.operations && !isOffered(state) ? offText(state.workflow, state) : "",
    onChange: (event) => act.setWorkflow(event.currentTarget.value) },
    GROUP_NAMES.map((group) =>
      h("s-option-group", { key: group, label: text(`make.group.${group}`) },
        GROUPS[group].map((name) => option(name, state)))));

/** @param {string} name @param {MakeState} state */
function option(name, state) {
  const { operations } = state;
  const found = operationOf(state, name);
  const isOff = operations !== null && !found?.enabled;
  return h("s-option", { key: name, value: name, disabled: isOff && name !== state.workflow },
    isOff ? offText(name, state) : found ? text("make.workflow.price",
      { workflow: workflowName(name), count: found.credits_cost }) : workflowName(name));
}

/** @param {MakeState} state @param {string} name */
const operationOf = ({ operations }, name) => operations?.find((each) => each.name === name);

/** @param {MakeState} state */
const isOffered = (state) => operationOf(state, state.workflow)?.enabled ?? false;

/** Why it is not offered. @param {string} name @param {MakeState} state */
const offText = (name, state) => text(
  operationOf(state, name)?.refusal === "NO_ENGINE" ? "make.noEngine" : "make.switchedOff",
  { workflow: workflowName(name) });

/** @param {MakeState} state */
function about(state) {
  const { workflow } = state;
  const hosted = operationOf(state, workflow)?.hosted ? "hosted." : "";
  return textOr(`make.about.${hosted}${workflow}`, textOr(`make.about.${workflow}`, ""));
}

/** How many images will be made; null for a collection of unknown size. */
/** @param {MakeState} state */
export function countOf({ workflow, source, products, collection, photos }) {
  if (!formOf(workflow).hasPhoto) return 1;
  if (source === "products") return products.length;
  if (source === "collection") return collection ? collection.count : 0;
  return photos.filter(({ key }) => key).length;
}

/** The price of one image; undefined while it is not known. @param {MakeState} state */
const priceOfOne = (state) => operationOf(state, state.workflow)?.credits_cost;

/** @param {MakeState} state */
const itemsOf = ({ workflow, source }) => !formOf(workflow).hasPhoto ? "make.pictures"
  : source === "files" ? "make.photoCount" : "make.products";

/** What it will cost at most. @param {MakeState} state */
export function price(state) {
  const { credits: balance, overview } = state;
  const each = priceOfOne(state);
  const count = countOf(state);
  if (each === undefined || !overview) return text("state.loading");
  const credits = text("make.credits", { count: each });
  const left = Math.max(overview.daily_credit_cap - overview.credits_spent_today, 0);
  return h("s-stack", { gap: "small-300" },
    h("s-text", { type: "strong" }, count
      ? text("make.priceAll", { items: text(itemsOf(state), { count }), credits,
        total: text("make.credits", { count: count * each }) })
      : text(`make.priceEach.${state.source}`, { credits })),
    balance && h("s-text", null, text("credits.left", { count: balance.available })),
    !isCharged() && h("s-text", null, text("make.notCharged")),
    h("s-text", { color: "subdued" },
      text("make.rulesLeft", { left, cap: overview.daily_credit_cap })));
}

/** The way to more credits, if there are too few. @param {MakeState} state */
export function notEnough(state) {
  const { credits, source } = state;
  const total = (countOf(state) ?? 0) * (priceOfOne(state) ?? 0);
  if (!credits || total <= credits.available) return null;
  return h("s-banner", { tone: "warning", heading: text("credits.short") },
    h("s-paragraph", null, shortage(total, credits.available)),
    source === "collection" && h("s-paragraph", null, text("make.waits")),
    buyButton("secondary-actions"));
}
