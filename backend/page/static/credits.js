// What Review, Make and the plan screen show of the shop's credits.
import { h } from "./elements.js";
import { text } from "./words.js";

/** @import { CreditsResponse } from "atelier-api" */

export const PLAN_PATH = "/plan";

/** Whether this Atelier charges for images: the document says so. */
export const isCharged = () =>
  !document.querySelector('meta[name="atelier-billing"][content="none"]');

/**
 * The credits; null where nothing is charged, which costs no request.
 * @param {{ read: <T>(path: string) => Promise<T> }} context
 * @returns {Promise<CreditsResponse | null>}
 */
export const readCredits = async ({ read }) => (isCharged() ? read("/v1/credits") : null);

/** For the title bar: what is left and what is held. @param {CreditsResponse | null} credits */
export const balanceBadges = (credits) => credits && [
  h("s-badge", { key: "left", slot: "accessory", tone: credits.available ? "neutral" : "warning" },
    text("credits.left", { count: credits.available })),
  credits.held > 0 && h("s-badge", { key: "held", slot: "accessory" },
    text("credits.held", { count: credits.held })),
];

/** @param {CreditsResponse | null} credits */
export const frozenBanner = (credits) => credits?.plan?.status === "FROZEN" &&
  h("s-banner", { tone: "warning", heading: text("plan.frozen") },
    h("s-paragraph", null, text("plan.frozen.details")),
    h("s-button", { slot: "secondary-actions", href: "shopify://admin/settings/billing" },
      text("plan.frozen.pay")));

/** @param {number} required @param {number} available */
export const shortage = (required, available) =>
  text("credits.short.details", {
    required: text("make.credits", { count: required }),
    available: text("make.credits", { count: available }),
  });

/** The way to the plans and packs. @param {"secondary-actions" | ""} [slot] */
export const buyButton = (slot = "") =>
  h("s-button", { href: PLAN_PATH, ...(slot ? { slot } : {}) }, text("credits.buy"));
