// What the screen Webhooks shows of an endpoint: its state, its secret, its deliveries, its form.
import { h } from "../elements.js";
import { skeletonCards } from "../states.js";
import { list, moment, number, text, textOr } from "../words.js";

/** @import { DeliveryResponse, EndpointResponse } from "atelier-api" */
/** @import { Form, Log, Secret, State, WebhooksActions } from "./webhooks.js" */
/** @import { WordKey } from "../words.js" */

const EVENT_TYPES = /** @type {const} */ ([
  "job.succeeded", "job.failed", "publication.published", "publication.failed",
  "publication.restored", "batch.finished", "batch.failed", "credits.low",
]);
const HEADINGS = /** @type {const} */ (
  ["event", "status", "attempts", "answer", "time", "actions"]);
const TONES = /** @type {const} */ ({
  pending: "info", succeeded: "success", failed: "critical", canceled: "neutral",
});
const MODALS = { rotate: "rotate", delete: "delete" };
const LONGEST_URL = 2000; // characters
const LONGEST_DESCRIPTION = 200; // characters
const MOST_CREDITS = 1_000_000_000;

/** @param {string} type */
const eventName = (type) => textOr(`webhooks.event.${type}`, type);

/** Whether such an endpoint is told that few credits are left. @param {string[] | null} types */
export const isToldOfCredits = (types) => !types?.length || types.includes("credits.low");

/** @param {Form} form @param {string[]} refused @param {WebhooksActions["edit"]} edit */
export const endpointForm = ({ id, url, description, types, low }, refused, edit) =>
  h("s-section", { key: "form", heading: text(id ? "webhooks.changing" : "webhooks.new") },
    h("s-stack", { gap: "base" },
      h("s-text-field", { label: text("webhooks.url"), name: "url", value: url, required: true,
        maxLength: LONGEST_URL, details: text("webhooks.url.details"),
        error: refused.includes("url") ? text("webhooks.url.wrong") : "",
        onInput: (event) => edit({ url: event.currentTarget.value }) }),
      h("s-text-field", { label: text("webhooks.description"), name: "description",
        value: description, maxLength: LONGEST_DESCRIPTION,
        details: text("webhooks.description.details"),
        error: refused.includes("description") ? text("webhooks.description.wrong") : "",
        onInput: (event) => edit({ description: event.currentTarget.value }) }),
      h("s-choice-list", { label: text("webhooks.events"), name: "types", multiple: true,
        values: types, details: text("webhooks.events.details"),
        onChange: (event) => edit({ types: event.currentTarget.values ?? [] }) },
        EVENT_TYPES.map((each) => h("s-choice", { key: each, value: each }, eventName(each)))),
      isToldOfCredits(types) && h("s-number-field", { label: text("webhooks.low"), name: "low",
        value: low, min: 1, max: MOST_CREDITS, details: text("webhooks.low.details"),
        error: refused.includes("credits_low_below") ? text("webhooks.low.wrong") : "",
        onInput: (event) => edit({ low: event.currentTarget.value }) })));

/** @param {EndpointResponse} endpoint @param {State} state @param {WebhooksActions} act */
export function endpointCard(endpoint, { busy, form, secret, log }, act) {
  const { id, url, description, event_types: types, credits_low_below: limit } = endpoint;
  return h("s-section", { key: id, heading: url },
    h("s-stack", { gap: "base" },
      description && h("s-text", null, description),
      condition(endpoint),
      h("s-text", { color: "subdued" },
        types ? list(types.map(eventName)) : text("webhooks.events.all")),
      isToldOfCredits(types) && h("s-text", { color: "subdued" },
        text("webhooks.low.shown", { limit })),
      buttons(endpoint, { isBusy: busy === id, isTyping: form !== null,
        hasSecret: secret?.id === id, hasLog: log?.id === id }, act),
      secret?.id === id && secretField(secret),
      log?.id === id && deliveries(log, endpoint, act)));
}

/** Whether it gets events, and if not, why. @param {EndpointResponse} endpoint */
function condition({ enabled, disabled_reason: reason, failing_since: since }) {
  const why = enabled ? since && text("webhooks.failing", { time: moment(since) })
    : reason && text(`webhooks.off.${reason}`);
  return h("s-stack", { direction: "inline", gap: "small-200", alignItems: "center" },
    enabled ? h("s-badge", { tone: "success" }, text("webhooks.on"))
      : h("s-badge", { tone: reason === "REQUESTED" ? "neutral" : "critical" },
        text("webhooks.off")),
    why && h("s-text", null, why));
}

/**
 * @param {EndpointResponse} endpoint
 * @param {{ isBusy: boolean, isTyping: boolean, hasSecret: boolean, hasLog: boolean }} shown
 * @param {WebhooksActions} act
 */
function buttons(endpoint, { isBusy, isTyping, hasSecret, hasLog }, act) {
  const { id, url, enabled } = endpoint;
  /**
   * @param {WordKey} word @param {WordKey} name For screen readers, with the URL.
   * @param {() => unknown} onClick @param {{ command?: "--show", commandFor?: string,
   *   disabled?: boolean, tone?: "critical" }} [more]
   */
  const button = (word, name, onClick, more) => h("s-button", { key: name, onClick,
    disabled: isBusy, accessibilityLabel: text(name, { url }), ...more }, text(word));
  return h("s-stack", { direction: "inline", gap: "small-200" },
    button("webhooks.test", "webhooks.testThis", () => act.test(id),
      { disabled: isBusy || !enabled }),
    hasLog ? h("s-button", { key: "log", onClick: act.hideLog }, text("webhooks.log.hide"))
      : button("webhooks.log.show", "webhooks.log.showThis", () => act.showLog(id)),
    hasSecret ? h("s-button", { key: "secret", onClick: act.hideSecret },
      text("webhooks.secret.hide"))
      : button("webhooks.secret.show", "webhooks.secret.showThis", () => act.showSecret(id)),
    button("webhooks.rotate", "webhooks.rotateThis", () => act.ask(endpoint),
      { commandFor: MODALS.rotate, command: "--show" }),
    button("webhooks.change", "webhooks.changeThis",
      () => act.edit(formOf(endpoint)), { disabled: isBusy || isTyping }), // there is one form
    enabled
      ? button("webhooks.switchOff", "webhooks.switchOffThis", () => act.enable(id, false))
      : button("webhooks.switchOn", "webhooks.switchOnThis", () => act.enable(id, true)),
    button("webhooks.delete", "webhooks.deleteThis", () => act.ask(endpoint),
      { commandFor: MODALS.delete, command: "--show", tone: "critical" }));
}

/** @param {EndpointResponse} endpoint @returns {Partial<Form>} */
const formOf = ({ id, url, description, event_types: types, credits_low_below: low }) =>
  ({ id, url, description, types: types ?? [], low: String(low) });

/** @param {Secret} secret */
const secretField = ({ secret, until }) =>
  h("s-text-field", { label: text("webhooks.secret"), value: secret, readOnly: true,
    details: until ? text("webhooks.secret.both", { time: moment(until) })
      : text("webhooks.secret.details") });

/** @param {Log} log @param {EndpointResponse} endpoint @param {WebhooksActions} act */
function deliveries({ deliveries: found, next }, { id, enabled }, act) {
  if (!found) return skeletonCards({ count: 1, height: "160px" });
  if (!found.length) return h("s-paragraph", { color: "subdued" }, text("webhooks.log.none"));
  return h("s-stack", { gap: "base" },
    h("s-heading", null, text("webhooks.log")),
    h("s-table", null,
      h("s-table-header-row", null, HEADINGS.map((each, i) => h("s-table-header",
        { key: each, listSlot: i ? "labeled" : "primary" }, text(`webhooks.log.${each}`)))),
      h("s-table-body", null, found.map((each) => h("s-table-row", { key: each.id },
        cells(each, enabled && (() => act.sendAgain(id, each.id)))
          .map((cell, i) => h("s-table-cell", { key: i }, cell)))))),
    next && h("s-stack", { alignItems: "center" },
      h("s-button", { onClick: act.moreOfLog }, text("list.more"))));
}

/** @param {DeliveryResponse} delivery @param {false | (() => unknown)} sendAgain */
function cells(delivery, sendAgain) {
  const { event_type: type, status, attempts, created_at: at, next_attempt_at: next } = delivery;
  const values = { event: eventName(type), time: moment(at) };
  return [
    eventName(type),
    h("s-stack", { gap: "small-400" },
      h("s-badge", { tone: TONES[status] }, text(`webhooks.status.${status}`)),
      attempts > 0 && next && h("s-text", { color: "subdued" },
        text("webhooks.log.next", { time: moment(next) }))),
    attemptsOf(delivery),
    answerText(delivery),
    moment(at),
    sendAgain && h("s-button", { onClick: sendAgain,
      accessibilityLabel: text("webhooks.log.againThis", values) }, text("webhooks.log.again")),
  ];
}

/** How many there were; the latest of several can be unfolded. */
/** @param {DeliveryResponse} delivery */
const attemptsOf = ({ attempts, latest_attempts: latest }) =>
  latest.length < 2 ? number(attempts) : h("details", null,
    h("summary", { style: { minHeight: "24px", cursor: "pointer" } }, number(attempts)),
    h("s-unordered-list", null, latest.map((each, i) => h("s-list-item", { key: i },
      text("webhooks.log.attempt",
        { time: moment(each.attempted_at), answer: answerText(each) })))));

/**
 * The status and how long it took, or why there is none.
 * @param {Pick<DeliveryResponse, "response_status" | "response_ms" | "error">} attempt
 */
function answerText({ response_status: status, response_ms: ms, error }) {
  if (status !== null) return text("webhooks.log.ms", { status: String(status), count: ms ?? 0 });
  return error ? textOr(`webhooks.error.${error}`, error) : "–";
}

/** The questions before a secret is replaced and before an endpoint is deleted. */
/** @param {State} state @param {WebhooksActions} act */
export const confirmations = ({ asked }, act) => [
  question("rotate", text("webhooks.rotateDetails"), () => asked && act.rotate(asked.id)),
  question("delete", text("webhooks.deleteDetails", { url: asked?.url ?? "" }),
    () => asked && act.remove(asked.id)),
];

/** @param {"rotate" | "delete"} name @param {string} details @param {() => unknown} onYes */
const question = (name, details, onYes) =>
  h("s-modal", { key: name, id: MODALS[name], heading: text(`webhooks.${name}Heading`) },
    h("s-paragraph", null, details),
    h("s-button", { slot: "primary-action", variant: "primary", commandFor: MODALS[name],
      command: "--hide", onClick: onYes, ...(name === "delete" ? { tone: "critical" } : {}) },
      text(`webhooks.${name}`)),
    h("s-button", { slot: "secondary-actions", commandFor: MODALS[name], command: "--hide" },
      text("webhooks.cancel")));
