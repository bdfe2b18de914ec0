// The states that every screen has besides its content: loading, empty, errors, waiting. And how
// the statuses of jobs, batches and publications are shown.
import { buyButton, shortage } from "./credits.js";
import { h } from "./elements.js";
import { clock, errorText, text, textOr } from "./words.js";

/** @import { ComponentChildren, VNode } from "preact" */
/** @import { CommonState, Failure } from "./screen.js" */
/** @import { WordKey } from "./words.js" */

/**
 * The banner above a screen's content: what is wrong, or what the page waits for. What was on the
 * screen stays. `heading` says what could not be done.
 * @param {CommonState} state
 * @param {WordKey} [heading]
 */
export function statusBanner({ failure, authorizing }, heading = "state.error") {
  if (authorizing) return waiting("state.authorizing", "state.authorizing.details");
  if (!failure) return null;
  const { kind } = failure.error;
  if (kind === "offline") return retrying("state.offline", failure);
  if (kind === "limited" && failure.retriesAt) return retrying("state.limited", failure);
  if (kind === "session") return retrying("state.session", failure);
  if (failure.error.required !== undefined) return notEnough(failure);
  return h("s-banner", { tone: "critical", heading: text(heading) },
    h("s-paragraph", null, errorText(failure.error)),
    failure.error.requestId && h("s-paragraph", { color: "subdued" },
      text("state.request", { id: failure.error.requestId })),
    againButton(failure));
}

/** @param {WordKey} heading @param {WordKey} details */
function waiting(heading, details) {
  return h("s-banner", { tone: "info", heading: text(heading) },
    h("s-paragraph", null, text(details)));
}

/** @param {WordKey} heading @param {Failure} failure */
function retrying(heading, failure) {
  const at = failure.retriesAt;
  return h("s-banner", { tone: "warning", heading: text(heading) },
    h("s-paragraph", null, at ? text("state.retries", { time: clock(at) }) : text("state.notDone")),
    againButton(failure));
}

/** The shop cannot pay for it. @param {Failure} failure */
function notEnough(failure) {
  const { required, available } = failure.error;
  return h("s-banner", { tone: "warning", heading: text("credits.short") },
    h("s-paragraph", null, shortage(required ?? 0, available ?? 0)),
    buyButton("secondary-actions"),
    againButton(failure));
}

/** @param {Failure} failure */
const againButton = (failure) =>
  h("s-button", { slot: "secondary-actions", onClick: failure.again }, text("state.again"));

/**
 * Boxes as large as the cards that come in their place, so that nothing jumps.
 * @param {{ count: number, height: string, columns?: string }} size `height` and `columns` are CSS.
 */
export function skeletonCards({ count, height, columns = "1fr" }) {
  const boxes = Array.from({ length: count }, (_, i) =>
    h("s-box", { key: i, padding: "base", border: "base", borderRadius: "base",
      minBlockSize: /** @type {any} */ (height) }));
  return h("s-stack", { gap: "base" },
    h("s-spinner", { accessibilityLabel: text("state.loading"), size: "base" }),
    h("s-grid", { gridTemplateColumns: columns, gap: "base" }, boxes));
}

/**
 * Nothing here yet, and what to do about it.
 * @param {{ heading: WordKey, details: WordKey, action?: ComponentChildren }} content `action` is a
 *   button with the slot `primary-action`.
 * @returns {VNode}
 */
export function emptyState({ heading, details, action }) {
  return h("s-section", { accessibilityLabel: text(heading) },
    h("s-empty-state", { heading: text(heading) },
      h("s-text", { slot: "subheading" }, text(details)),
      action));
}

/** The way to the screen that makes images, as the main action of a page or an empty state. */
export const makeButton = () =>
  h("s-button", { slot: "primary-action", variant: "primary", href: "/make" }, text("nav.make"));

/** An address that is not one of the page's. */
export function unknownPage() {
  const home = h("s-button", { slot: "primary-action", variant: "primary", href: "/" },
    text("nav.review"));
  return h("s-page", { heading: text("app.name") },
    emptyState({ heading: "unknown.heading", details: "unknown.details", action: home }));
}

/** Opened outside of the admin: App Bridge does not work here. */
export function outsideAdmin() {
  return h("s-page", { heading: text("app.name") },
    h("s-section", null, h("s-paragraph", null, text("outside.details"))));
}

/**
 * The screen's code can't be loaded.
 * @param {() => void} reload
 */
export const staleDocument = (reload) =>
  h("s-page", { heading: text("app.name") },
    h("s-banner", { tone: "critical", heading: text("stale.heading") },
      h("s-paragraph", null, text("stale.details")),
      h("s-button", { slot: "secondary-actions", onClick: reload }, text("stale.reload"))));

const TONES = /** @type {const} */ ({
  NOT_STARTED: "neutral", IN_PROGRESS: "info", SUCCESS: "success", FAILURE: "critical",
  EXPANDING: "info", PARTIAL: "warning", CANCELLED: "neutral",
  PENDING: "info", PUBLISHING: "info", PUBLISHED: "success", FAILED: "critical",
  RESTORING: "info", RESTORED: "neutral",
});

/** The status of a job, a batch or a publication. @param {keyof typeof TONES} status */
export const statusBadge = (status) =>
  h("s-badge", { tone: TONES[status] }, text(`status.${status}`));

/**
 * Why a job, a batch or a publication failed, and what to do.
 * @param {{ code: string, message: string }} error
 */
export const failureText = ({ code, message }) => textOr(`failure.${code}`, message);

/** A workflow's name, by the name in the API or by a job's type. @param {string} name */
export const workflowName = (name) =>
  textOr(`workflow.${name.toLowerCase().replaceAll("_", "-")}`, name);
