// Plan and usage: what is left, the plans and packs that Shopify charges for, and the usage.
import { call, install, newKey, poll, visibleAgain } from "../api.js";
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
 * `sending` is the handle of what is being ordered, and `isSent` whether the merchant was sent to
 * Shopify's page.
 * @typedef {{ credits: CreditsResponse | null, plans: PlansResponse | null,
 *   usage: UsageOfADay[] | null, sending: string | null, isSent: boolean }} PlanState
 */
/** @typedef {Context<PlanState>} PlanContext */
/** @typedef {ReturnType<typeof actions>} PlanActions */

const FOLLOW_DELAY = 5; // seconds
const FOLLOW_READS = 12;
const COLUMNS = "repeat(auto-fill, minmax(min(200px, 100%), 1fr))";

export const plan = defineScreen({
  /** @returns {PlanState} */
  initial: () => ({ credits: null, plans: null, usage: null, sending: null, isSent: false }),
  load,
  actions,
  view,
});

/** @param {PlanContext} context */
async function load(context) {
  const { read, route, set } = context;
  const isBack = isFromShopify(route);
  if (isBack) await install(); // which has the server read from Shopify what was bought
  const [, usage] = await Promise.all([
    readOffers(context),
    /** @type {Promise<UsageResponse>} */ (read(`/v1/usage?days=${DAYS}`)),
  ]);
  set({ usage: usage.days });
  if (isBack) await followCredits(context);
  if (route.query.has("plan_handle")) await readAgain(context); // no webhook tells the server
  await refreshWhenVisible(context);
}

/**
 * Whether Shopify has sent the merchant here: after an approval, or from its page of plans. What
 * was bought, the address does not say.
 * @param {PlanContext["route"]} route
 */
const isFromShopify = ({ query }) => query.has("charge_id") || query.has("plan_handle");

/** What the shop has, and what it can buy. @param {PlanContext} context */
async function readOffers({ read, set }) {
  const [credits, plans] = await Promise.all([
    /** @type {Promise<CreditsResponse>} */ (read("/v1/credits")),
    /** @type {Promise<PlansResponse>} */ (read("/v1/plans")),
  ]);
  set({ credits, plans });
}

/** Shopify may tell the server a little later. @param {PlanContext} context */
async function followCredits(context) {
  let reads = 0;
  let isChanged = false;
  do {
    await poll(context, "/v1/credits", {
      seconds: FOLLOW_DELAY,
      onBody(/** @type {CreditsResponse} */ credits) {
        isChanged = credits.plan?.handle !== context.state().credits?.plan?.handle;
        context.set({ credits });
        return !isChanged && ++reads < FOLLOW_READS;
      },
    });
    if (isChanged) await readOffers(context); // the mark of the current plan
  } while (isChanged && ++reads < FOLLOW_READS && !context.signal.aborted);
}

/** The merchant may have bought something in another tab. @param {PlanContext} context */
async function refreshWhenVisible(context) {
  const { signal, state } = context;
  while (!signal.aborted) {
    await visibleAgain(signal);
    if (signal.aborted || state().credits?.unlimited) return;
    await (state().isSent ? readAgain(context) : readOffers(context));
  }
}

/** Have the server read Shopify, and show what came of it. @param {PlanContext} context */
async function readAgain(context) {
  await install();
  await readOffers(context);
}

/** @param {PlanContext} context */
function actions({ set }) {
  /** An order keeps its key until it is known to have arrived. @type {Record<string, string>} */
  const keys = {};

  /**
   * Shopify asks for the merchant's approval on a page of its own, outside of the frame.
   * @param {string} handle @param {string} path @param {Record<string, string>} body
   */
  async function order(handle, path, body) {
    set({ sending: handle });
    const key = keys[handle] ??= newKey();
    try {
      const { confirmation_url: url } = await call("POST", path, { body, key });
      delete keys[handle];
      set({ isSent: true });
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
    isCharged && isFromShopify(state.route) &&
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
          price: each.price === null ? text("plan.price.unknown")
            : text(`plan.price.${each.interval}`, { price: money(each.price, each.currency) }),
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
