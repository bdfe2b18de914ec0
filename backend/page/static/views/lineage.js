// How a job's images were made: by whom, from what, by which engine; and running the job again.
import { call, newKey } from "../api.js";
import { h } from "../elements.js";
import { skeletonCards, statusBadge } from "../states.js";
import { moment, money, text, textOr } from "../words.js";
import "../words/lineage.js";

/** @import { ComponentChildren } from "preact" */
/** @import { JobLineageResponse, OperationsResponse, RelatedJob } from "atelier-api" */
/** @import { Context } from "../screen.js" */
/**
 * What is to be run again. `credits` is null until the price is known, or if it isn't offered.
 * `another` is the seed of a different image; `key` makes a repeated request the same one.
 * @typedef {{ credits: number | null, isKnown: boolean, seed: string, another: number,
 *   key: string }} Rerun
 */
/** @typedef {{ lineage: JobLineageResponse | null, rerun: Rerun | null }} LineageState */
/** @typedef {LineageState & { isBusy: boolean }} BusyState */
/** @typedef {ReturnType<typeof rerunActions>} RerunActions */

const MODAL = "rerun";
const SEEDS = 2 ** 31; // from 0: the range that the API takes
const ENDED = ["SUCCESS", "FAILURE"];
const SHOWN_DIGITS = 8; // of a SHA-256
/** By the unit that a provider counts in. @type {Record<string, import("../words.js").WordKey>} */
const COUNTED = {
  credits: "lineage.counted.credits",
  billable_units: "lineage.counted.billable",
  images: "lineage.counted.images",
};

/**
 * What the merchant can do on a screen whose state has the job's lineage.
 * @param {Pick<Context<BusyState>, "go" | "read" | "set" | "state">} screen
 */
export function rerunActions({ go, read, set, state }) {
  return {
    async askRerun() {
      const another = Math.floor(Math.random() * SEEDS);
      const asked = { credits: null, isKnown: false, seed: "same", another, key: newKey() };
      set({ rerun: asked });
      const offered = await orHide(/** @type {Promise<OperationsResponse>} */ (
        read("/v1/operations")));
      const found = offered.operations.find(({ name }) => name === state().lineage?.workflow);
      const credits = found?.enabled ? found.credits_cost : null;
      set({ rerun: { ...asked, credits, isKnown: true } });
    },
    /** @param {string} seed */
    chooseSeed(seed) {
      const { rerun } = state();
      if (rerun) set({ rerun: { ...rerun, seed, key: newKey() } });
    },
    async startRerun() {
      const { rerun, lineage } = state();
      if (!rerun || !lineage) return;
      const parameters = rerun.seed === "another" ? { seed: rerun.another } : {};
      set({ isBusy: true });
      try {
        const { job_id: id } = await orHide(call("POST", `/v1/jobs/${lineage.public_id}/rerun`,
          { body: { parameters }, key: rerun.key }));
        hideModal();
        go(`/jobs/${id}`);
      } finally {
        set({ isBusy: false });
      }
    },
  };
}

/** The answer; an error is shown on the page, so the modal must not cover it. */
/** @template T @param {Promise<T>} request @returns {Promise<T>} */
async function orHide(request) {
  try {
    return await request;
  } catch (error) {
    hideModal();
    throw error;
  }
}

const hideModal = () => /** @type {any} */ (document.getElementById(MODAL))?.hideOverlay();

/** The button that asks to run the job again; not for a visitor's job. */
/** @param {LineageState} state @param {RerunActions} act */
export const rerunButton = ({ lineage }, act) =>
  lineage && ENDED.includes(lineage.status) && lineage.asked_by?.kind !== "storefront" &&
  h("s-button", { slot: "secondary-actions", commandFor: MODAL, command: "--show",
    onClick: act.askRerun }, text("rerun.run"));

/** @param {BusyState} state @param {RerunActions} act */
export const rerunModal = ({ lineage, rerun, isBusy }, act) =>
  h("s-modal", { id: MODAL, heading: text("rerun.heading") },
    h("s-stack", { gap: "base" },
      h("s-paragraph", null, text("rerun.details")),
      rerun && lineage?.request.seed !== undefined && h("s-choice-list", {
        label: text("rerun.seed"), name: "seed", values: [rerun.seed],
        onChange: (event) => act.chooseSeed(event.currentTarget.values?.[0] ?? "same") },
        h("s-choice", { value: "same" }, text("rerun.seed.same")),
        h("s-choice", { value: "another" }, text("rerun.seed.another"))),
      rerun && price(rerun)),
    h("s-button", { slot: "primary-action", variant: "primary", loading: isBusy,
      disabled: !rerun?.isKnown || rerun.credits === null, onClick: act.startRerun },
      text("rerun.run")),
    h("s-button", { slot: "secondary-actions", commandFor: MODAL, command: "--hide" },
      text("rerun.cancel")));

/** @param {Rerun} rerun */
function price({ credits, isKnown }) {
  if (!isKnown) return h("s-spinner", { accessibilityLabel: text("state.loading"), size: "base" });
  return h("s-paragraph", null, credits === null ? text("rerun.off")
    : text("rerun.price", { count: credits }));
}

/** @param {JobLineageResponse | null} lineage */
export const lineageSection = (lineage) =>
  h("s-section", { slot: "aside", heading: text("lineage.heading") },
    lineage ? h("s-stack", { gap: "small" }, facts(lineage))
      : skeletonCards({ count: 1, height: "160px" }));

/** @param {JobLineageResponse} lineage */
function facts(lineage) {
  const { outputs, request } = lineage;
  const seeds = [request.seed, ...lineage.stages.map(({ seed }) => seed)];
  const labels = outputs.map((each) => each.digital_source_type).filter((each) => each !== null);
  return [
    fact("lineage.asked", askedBy(lineage)),
    fact("lineage.photos", lineage.inputs.map(({ bytes, sha256 }) => text("lineage.photo", {
      kilobytes: Math.ceil(bytes / 1000), digest: sha256.slice(0, SHOWN_DIGITS) }))),
    fact("lineage.engines", enginesOf(lineage)),
    fact("lineage.seed", seeds.filter((each) => Number.isInteger(each)).map(String)),
    fact("lineage.cost", costOf(lineage)),
    fact("lineage.label", labels.map((each) => textOr(`lineage.label.${each}`, each))),
    fact("lineage.chain", chain(lineage)),
  ];
}

/**
 * A label and its values, each once; nothing without values.
 * @param {import("../words.js").WordKey} label
 * @param {ComponentChildren[]} values
 */
const fact = (label, values) =>
  values.length > 0 && h("s-stack", { key: label, gap: "small-500" },
    h("s-text", { color: "subdued" }, text(label)),
    [...new Set(values)].map((value, i) =>
      (typeof value === "string" ? h("s-text", { key: i }, value) : value)));

/** @param {JobLineageResponse} lineage @returns {ComponentChildren[]} */
function askedBy({ asked_by: by }) {
  if (!by) return [text("lineage.asked.unknown")];
  if (by.kind === "staff") return [text("lineage.asked.staff", { id: by.user_id ?? "" })];
  if (by.kind === "batch") {
    return [h("s-link", { href: `/batches/${by.batch_id}` }, text("lineage.asked.batch"))];
  }
  if (by.kind !== "rule") return [text(`lineage.asked.${by.kind}`)];
  return [
    h("s-link", { href: "/settings" }, text("lineage.asked.rule", { number: (by.rule ?? 0) + 1 })),
    by.trigger && text(`lineage.trigger.${by.trigger}`),
    by.topic && text("lineage.topic", { topic: by.topic }),
  ].filter(Boolean);
}

/** The engines that made the images, with their models. @param {JobLineageResponse} lineage */
const enginesOf = ({ stages }) => stages.flatMap(({ engine }) => {
  if (!engine) return [];
  const name = textOr(`lineage.engine.${engine.name}`, engine.name);
  return engine.model ? text("lineage.engine", { name, model: engine.model }) : name;
});

/** In credits, and what the providers charge. @param {JobLineageResponse} lineage */
function costOf({ credits_cost: credits, stages, status }) {
  if (status === "FAILURE") return [text("lineage.cost.none")]; // whatever the provider charged
  const costs = stages.flatMap(({ cost }) => cost ?? []);
  const own = credits === null ? [] : [text("make.credits", { count: credits })];
  if (!costs.length) return own;
  const micros = costs.map(({ amount_micros: amount }) => amount ?? NaN);
  const total = micros.reduce((sum, each) => sum + each, 0) / 1e6;
  if (Number.isNaN(total)) {
    return [...own, ...costs.map(({ units, unit = "" }) => (typeof units === "number"
      ? text(COUNTED[unit.replaceAll(" ", "_")] ?? "lineage.counted.units", { count: units })
      : text("lineage.cost.unknown")))];
  }
  const isListed = costs.some(({ source }) => source !== "answer");
  const word = isListed ? "lineage.cost.listed" : "lineage.cost.provider";
  return [...own, text(word, { price: money(total, "USD", 4) })];
}

/** The jobs that this one repeats and those that repeat it, the first one first. */
/** @param {JobLineageResponse} lineage @returns {ComponentChildren[]} */
function chain({ ancestors, reruns, rerun_of: repeated, public_id: id, ...rest }) {
  if (!repeated && !reruns.length) return [];
  const isGone = repeated !== null && !ancestors.length;
  const jobs = [...ancestors.toReversed(), { public_id: id, ...rest }, ...reruns];
  return [
    isGone && text("lineage.deleted"),
    h("s-ordered-list", null, jobs.map((job) =>
      h("s-list-item", { key: job.public_id }, job.public_id === id
        ? h("s-text", { type: "strong" }, text("lineage.chain.this")) : related(job)))),
  ].filter(Boolean);
}

/** @param {Pick<RelatedJob, "public_id" | "created_at" | "status">} job */
const related = ({ public_id: id, created_at: at, status }) => [
  h("s-link", { key: "link", href: `/jobs/${id}` }, moment(at)), " ",
  h("span", { key: "status" }, statusBadge(status)),
];
