// Webhooks: the servers of the merchant that get the shop's events. A form is saved by the save
// bar; everything else happens at once.
import { ApiError, call, newKey, nextPage, poll } from "../api.js";
import { h } from "../elements.js";
import { defineScreen } from "../screen.js";
import { emptyState, skeletonCards, statusBanner } from "../states.js";
import { text } from "../words.js";
import "../words/webhooks.js";
import { confirmations, endpointCard, endpointForm, isToldOfCredits } from "./endpoints.js";

/** @import { DeliveryResponse, EndpointListResponse, EndpointResponse } from "atelier-api" */
/** @import { CommonState, Context } from "../screen.js" */
/**
 * What is typed; `id` is empty for a new endpoint. No event types: all of them. `low` is a number.
 * `key` is the Idempotency-Key that a new endpoint is created with; each change makes another one.
 * @typedef {{ id: string, url: string, description: string, types: string[], low: string,
 *   key: string }} Form
 */
/**
 * `until`: how long the earlier secret is valid.
 * @typedef {{ id: string, secret: string, until: string | null }} Secret
 */
/** @typedef {{ id: string, deliveries: DeliveryResponse[] | null, next: string | null }} Log */
/**
 * `refused` are the fields that were refused, by their names in the API. `busy` is the endpoint
 * that is being changed, and `asked` the one that a question is about.
 * @typedef {{ endpoints: EndpointResponse[] | null, form: Form | null, refused: string[],
 *   isSaving: boolean, secret: Secret | null, log: Log | null, busy: string,
 *   asked: EndpointResponse | null }} WebhooksState
 */
/** @typedef {CommonState & WebhooksState} State */
/** @typedef {Context<WebhooksState>} WebhooksContext */
/** @typedef {ReturnType<typeof actions>} WebhooksActions */

const PATH = "/v1/webhook-endpoints";
const BAR = "webhooks-bar";
const NEW = { id: "", url: "", description: "", types: [], low: "50" };
const LOG_PAUSE = 2; // seconds between two readings while a delivery has not been tried

/** @returns {WebhooksState} */
const initial = () => ({
  endpoints: null, form: null, refused: [], isSaving: false, secret: null, log: null,
  busy: "", asked: null,
});

/** @param {WebhooksContext} context */
async function load({ read, set }) {
  const { endpoints } = /** @type {EndpointListResponse} */ (await read(PATH));
  set({ endpoints });
}

/** @param {WebhooksContext} context */
function actions(context) {
  const { answer, read, set, state } = context;

  function discard() {
    set({ form: null, refused: [], failure: null });
    void shopify.saveBar.hide(BAR);
  }

  /** @template T @param {string} id @param {() => Promise<T>} change @returns {Promise<T>} */
  async function changing(id, change) {
    set({ busy: id, failure: null });
    try {
      return await change();
    } finally {
      set({ busy: "" });
    }
  }

  /** @param {Form} form @returns {Promise<string>} the endpoint's ID */
  async function send({ id, url, description, types, low, key }) {
    const body = { url: url.trim(), description, event_types: types.length ? types : null,
      ...(isToldOfCredits(types) ? { credits_low_below: Number(low.trim() || NaN) } : {}) };
    if (id) {
      put(await call("PATCH", `${PATH}/${id}`, { body }));
      return id;
    }
    const { secret, ...added } = await call("POST", PATH, { body, key });
    set({ endpoints: [...(state().endpoints ?? []), added],
      secret: { id: added.id, secret, until: null } });
    return added.id;
  }

  /** @param {EndpointResponse} changed */
  const put = (changed) => set({ endpoints: (state().endpoints ?? []).map(
    (each) => (each.id === changed.id ? changed : each)) });

  /** @param {string} id @param {{ secret: string, previous_valid_until: string | null }} answer */
  const keepSecret = (id, { secret, previous_valid_until: until }) =>
    set({ secret: { id, secret, until } });

  return {
    discard,
    /** @param {Partial<Form>} change */
    edit(change) {
      set({ form: { ...NEW, ...state().form, ...change, key: newKey() }, refused: [] });
      void shopify.saveBar.show(BAR);
    },
    async save() {
      const { form } = state();
      if (!form) return;
      set({ isSaving: true, failure: null });
      try {
        const id = await send(form);
        const { form: typed } = state();
        if (typed === form) discard();
        else if (typed) set({ form: { ...typed, id } }); // there are changes since
        shopify.toast.show(text("webhooks.saved"));
      } catch (error) { // the bar stays, and so does what was typed
        if (!(error instanceof ApiError) || !error.detail.length) throw error;
        set({ refused: error.detail.map(({ loc }) => String(loc[1])) });
      } finally {
        set({ isSaving: false });
      }
    },
    /** @param {string} id @param {boolean} enabled */
    enable: (id, enabled) => changing(id, async () =>
      put(await call("PATCH", `${PATH}/${id}`, { body: { enabled } }))),
    /** @param {string} id */
    test: (id) => changing(id, async () => {
      await call("POST", `${PATH}/${id}/test`);
      shopify.toast.show(text("webhooks.tested"));
      void followLog(context, id).catch(() => {}); // it can be opened again
    }),
    /** @param {string} id */
    showSecret: (id) => changing(id, async () =>
      keepSecret(id, await read(`${PATH}/${id}/secret`))),
    hideSecret: () => set({ secret: null }),
    ask: (/** @type {EndpointResponse} */ asked) => set({ asked }),
    /** @param {string} id */
    rotate: (id) => changing(id, async () =>
      keepSecret(id, await call("POST", `${PATH}/${id}/secret/rotate`))),
    /** @param {string} id */
    remove: (id) => changing(id, async () => {
      await call("DELETE", `${PATH}/${id}`);
      set({ endpoints: (state().endpoints ?? []).filter((each) => each.id !== id) });
      shopify.toast.show(text("webhooks.deleted"));
    }),
    /** @param {string} id */
    showLog: (id) => followLog(context, id),
    hideLog: () => set({ log: null }),
    async moreOfLog() {
      const { log } = state();
      if (!log?.next) return;
      const { body, headers } = await answer(log.next);
      if (state().log !== log) return; // read anew meanwhile
      const deliveries = [...(log.deliveries ?? []), ...body.deliveries];
      set({ log: { ...log, deliveries, next: nextPage(headers) } });
    },
    /** @param {string} id @param {string} delivery */
    sendAgain: (id, delivery) => changing(id, async () => {
      await call("POST", `${PATH}/${id}/deliveries/${delivery}/redeliver`);
      void followLog(context, id).catch(() => {});
    }),
  };
}

/** Show the endpoint's log, and read it again until each delivery in it has been tried. */
/** @param {WebhooksContext} context @param {string} id */
async function followLog(context, id) {
  const { set, state } = context;
  const deliveries = state().log?.id === id ? state().log?.deliveries ?? null : null;
  /** @type {Log} */
  let log = { id, deliveries, next: null };
  set({ log });
  await poll(context, `${PATH}/${id}/deliveries?limit=20`, {
    seconds: LOG_PAUSE,
    onBody(/** @type {{ deliveries: DeliveryResponse[] }} */ body, headers) {
      if (state().log !== log) return false;
      log = { id, deliveries: body.deliveries, next: nextPage(headers) };
      set({ log });
      return body.deliveries.some(isUntried);
    },
  });
}

/** @param {DeliveryResponse} delivery */
const isUntried = ({ status, attempts }) => status === "pending" && attempts === 0;

/** @param {State} state @param {WebhooksActions} act */
function view(state, act) {
  const { endpoints, form, isSaving } = state;
  return h("s-page", { heading: text("nav.webhooks") },
    h("ui-save-bar", { id: BAR },
      h("button", { variant: "primary", ...(isSaving ? { loading: "" } : {}), onClick: act.save },
        text("webhooks.save")),
      h("button", { disabled: isSaving, onClick: act.discard }, text("webhooks.discard"))),
    h("s-button", { slot: "primary-action", variant: "primary", disabled: Boolean(form),
      onClick: () => act.edit({}) }, text("webhooks.add")),
    h("s-stack", { gap: "base" },
      statusBanner(state, "webhooks.failed"),
      form && endpointForm(form, state.refused, act.edit),
      !endpoints && skeletonCards({ count: 2, height: "180px" }),
      endpoints?.length === 0 && !form &&
        emptyState({ heading: "webhooks.none", details: "webhooks.none.details" }),
      endpoints?.map((each) => endpointCard(each, state, act))),
    confirmations(state, act));
}

export const webhooks = defineScreen({ initial, load, actions, view });
