// Plan and usage: what is left, the plans and packs that Shopify charges for, and the usage.
import { call, install, poll } from "../api.js";
import { balanceBadges, frozenBanner } from "../credits.js";
import { h } from "../elements.js";
import { defineScreen } from "../screen.js";
import { skeletonCards, statusBanner } from "../states.js";
import { day, money, number, text, textOr } from "../words.js";
import "../words/plan.js";
import { DAYS, usageSection } from "./usage.js";

/** @import { CreditsResponse, PackResponse, PlanResponse, PlansResponse } from "atelier-api" */
/** @import { UsageOfADay, UsageResponse } from "atelier-api" */
/** @import { CommonState, Context } from "../screen.js" */
/**
 * `sending` is the handle of what is being ordered.
 * @typedef {{ credits: CreditsResponse | null, plans: PlansResponse | null,
 *   usage: UsageOfADay[] | null, sending: string | null }} PlanState
 */
/** @typedef {Context<PlanState>} PlanContext */
/** @typedef {ReturnType<typeof actions>} PlanActions */

const FOLLOW_DELAY = 5; // seconds
const FOLLOW_READS = 12;
const COLUMNS = "repeat(auto-fill, minmax(min(200px, 100%), 1fr))";

export const plan = defineScreen({
  /** @returns {PlanState} */
  initial: () => ({ credits: null, plans: null, usage: null, sending: null }),
  load,
  actions,
  view,
});

/** @param {PlanContext} context */
async function load(context) {
  const { read, route, set } = context;
  const isBack = route.query.has("charge_id"); // from Shopify, with the merchant's approval
  if (isBack) await install(); // which has the server read from Shopify what was bought
  const [credits, usage, plans] = await Promise.all([
    /** @type {Promise<CreditsResponse>} */ (read("/v1/credits")),
    /** @type {Promise<UsageResponse>} */ (read(`/v1/usage?days=${DAYS}`)),
    /** @type {Promise<PlansResponse>} */ (read("/v1/plans")),
  ]);
  set({ credits, usage: usage.days, plans });
  if (isBack) await followCredits(context);
}

/** Shopify may tell the server a little later. @param {PlanContext} context */
async function followCredits(context) {
  let reads = 0;
  await poll(context, "/v1/credits", {
    seconds: FOLLOW_DELAY,
    onBody(/** @type {CreditsResponse} */ credits) {
      context.set({ credits });
      return ++reads < FOLLOW_READS;
    },
  });
}

/** @param {PlanContext} context */
function actions({ set }) {
  /**
   * Shopify asks for the merchant's approval on a page of its own, outside of the frame.
   * @param {string} handle @param {string} path @param {Record<string, string>} body
   */
  async function order(handle, path, body) {
    set({ sending: handle });
    try {
      const { confirmation_url: url } = await call("POST", path, { body });
      open(url, "_top");
    } finally {
      set({ sending: null });
    }
  }

  return {
    /** @param {string} handle */
    choose: (handle) => order(handle, "/v1/subscription", { plan: handle }),
    /** @param {string} handle */
    buy: (handle) => order(handle, "/v1/purchases", { pack: handle }),
  };
}

/** @param {CommonState & PlanState} state @param {PlanActions} act */
function view(state, act) {
  const { credits, plans, usage } = state;
  const isCharged = credits !== null && !credits.unlimited;
  return h("s-page", { heading: text("nav.plan") },
    isCharged && balanceBadges(credits),
    statusBanner(state, "plan.failed"),
    isCharged && state.route.query.has("charge_id") &&
      h("s-banner", { tone: "success", dismissible: true, heading: text("plan.approved") },
        h("s-paragraph", null, text("plan.approved.details"))),
    frozenBanner(credits),
    !credits && skeletonCards({ count: 2, height: "200px" }),
    credits?.unlimited && h("s-section", { accessibilityLabel: text("plan.balance") },
      h("s-paragraph", null, text("plan.unlimited"))),
    isCharged && balance(credits),
    isCharged && plans && offers(state, plans, act),
    usage && usageSection(usage));
}

/** What is left and held, where it is from, and the plan. @param {CreditsResponse} credits */
const balance = ({ available, held, lots, plan: current }) =>
  h("s-section", { key: "balance", heading: text("plan.balance") },
    h("s-stack", { gap: "base" },
      h("s-grid", { gridTemplateColumns: "repeat(auto-fit, minmax(110px, 1fr))", gap: "base" },
        figure(text("plan.available"), number(available)),
        figure(text("plan.held"), number(held)),
        figure(text("plan.current"), current ? current.name : text("plan.noPlan"))),
      h("s-paragraph", { color: "subdued" }, text("plan.held.details")),
      current && planStatus(current),
      lots.length > 0 && lotsTable(lots)));

/** @param {string} label @param {string} value */
const figure = (label, value) =>
  h("s-stack", { gap: "small-400" },
    h("s-text", { color: "subdued" }, label),
    h("s-text", { type: "strong", fontVariantNumeric: "tabular-nums" }, value));

/** @param {NonNullable<CreditsResponse["plan"]>} plan */
const planStatus = ({ status, period_end: end }) =>
  h("s-stack", { direction: "inline", gap: "small", alignItems: "center" },
    h("s-badge", { tone: status === "ACTIVE" ? "success" : "warning" },
      textOr(`plan.status.${status}`, status)),
    end && h("s-text", null, text("plan.periodEnd", { date: day(end) })));

/** @param {CreditsResponse["lots"]} lots */
const lotsTable = (lots) =>
  h("s-table", null,
    h("s-table-header-row", null,
      h("s-table-header", { listSlot: "primary" }, text("plan.source")),
      h("s-table-header", { listSlot: "labeled", format: "numeric" }, text("plan.available")),
      h("s-table-header", { listSlot: "labeled" }, text("plan.expires"))),
    h("s-table-body", null, lots.map(({ source, remaining, expires_at: end }, i) =>
      h("s-table-row", { key: i },
        h("s-table-cell", null, text(`plan.source.${source}`)),
        h("s-table-cell", null, number(remaining)),
        h("s-table-cell", null, end ? day(end) : text("plan.never"))))));

/** @param {PlanState} state @param {PlansResponse} offered @param {PlanActions} act */
function offers(state, { plans, packs }, act) {
  if (!plans.length && !packs.length) {
    return h("s-section", { key: "offers", heading: text("plan.plans") },
      h("s-paragraph", null, text("plan.nothingOffered")));
  }
  return [
    plans.length > 0 && h("s-section", { key: "plans", heading: text("plan.plans") },
      h("s-grid", { gridTemplateColumns: COLUMNS, gap: "base" },
        plans.map((each) => offer(each, {
          price: text(`plan.price.${each.interval}`, { price: money(each.price, each.currency) }),
          credits: text("plan.monthly", { count: each.credits }),
          trial: each.trial_days > 0 && text("plan.trial", { count: each.trial_days,
            credits: text("make.credits", { count: each.trial_credits }) }),
          action: each.current ? h("s-badge", { tone: "success" }, text("plan.isCurrent"))
            : orderButton(state, each, "choose", act.choose),
        })))),
    packs.length > 0 && h("s-section", { key: "packs", heading: text("plan.packs") },
      h("s-paragraph", { color: "subdued" }, text("plan.packs.details")),
      h("s-grid", { gridTemplateColumns: COLUMNS, gap: "base" },
        packs.map((each) => offer(each, {
          price: money(each.price, each.currency),
          credits: text("make.credits", { count: each.credits }),
          action: orderButton(state, each, "buy", act.buy),
        })))),
  ];
}

/**
 * @param {PackResponse | PlanResponse} item
 * @param {{ price: string, credits: string, trial?: string | false,
 *   action: import("preact").VNode }} shown
 */
const offer = ({ handle, name }, { price, credits, trial, action }) =>
  h("s-box", { key: handle, padding: "base", border: "base", borderRadius: "base" },
    h("s-stack", { gap: "small" },
      h("s-heading", null, name),
      h("s-text", null, price),
      h("s-text", { color: "subdued" }, credits),
      trial && h("s-text", { color: "subdued" }, trial),
      h("s-stack", { direction: "inline" }, action)));

/**
 * @param {PlanState} state
 * @param {PackResponse | PlanResponse} item
 * @param {"choose" | "buy"} what
 * @param {(handle: string) => unknown} order
 */
const orderButton = ({ sending }, { handle, name }, what, order) =>
  h("s-button", { loading: sending === handle, disabled: sending !== null,
    accessibilityLabel: text(`plan.orderThis.${what}`, { name }), onClick: () => order(handle) },
    text(`plan.order.${what}`));
