// In English: what the screen Credits says.
import { addWords } from "../words.js";

export const PLAN_WORDS = /** @type {const} */ ({
  "plan.failed": "Your plan and credits could not be loaded or changed",
  "plan.unlimited":
    "Atelier does not charge for images in this shop. Credits only show how much you use.",
  "plan.balance": "Balance",
  "plan.available": "Left",
  "plan.held": "Held",
  "plan.held.details":
    "Unfinished jobs hold their credits. A job that fails or is cancelled gives them back.",
  "plan.current": "Your plan",
  "plan.noPlan": "None",
  "plan.periodEnd": "The current period ends on {date}.",
  "plan.status.ACTIVE": "Active",
  "plan.status.PENDING": "Waiting for approval",
  "plan.status.FROZEN": "Frozen",
  "plan.status.CANCELLED": "Cancelled",
  "plan.status.EXPIRED": "Expired",
  "plan.status.DECLINED": "Declined",
  "plan.approved": "Shopify has your approval",
  "plan.approved.details":
    "What is paid is in your balance. If Shopify still waits for the payment, the credits come by themselves.",
  "plan.source": "Source",
  "plan.source.plan": "Plan",
  "plan.source.pack": "Pack",
  "plan.source.trial": "Trial",
  "plan.source.manual": "From support",
  "plan.expires": "Expires",
  "plan.never": "Never",
  "plan.plans": "Plans",
  "plan.packs": "Packs",
  "plan.packs.details": "You buy a pack once. It does not renew.",
  "plan.price.EVERY_30_DAYS": "{price} every 30 days",
  "plan.price.ANNUAL": "{price} a year",
  "plan.price.unknown": "Shopify shows the price",
  "plan.monthly": { one: "{count} credit a month", other: "{count} credits a month" },
  "plan.trial": {
    one: "{count} day free, with {credits}",
    other: "{count} days free, with {credits}",
  },
  "plan.order.choose": "Choose",
  "plan.orderThis.choose": "Choose {name}",
  "plan.order.buy": "Buy",
  "plan.orderThis.buy": "Buy {name}",
  "plan.isCurrent": "Current plan",
  "plan.nothingOffered": "There is nothing to buy here. Ask support for credits.",
  "usage.heading": "Usage of the last 30 days",
  "usage.none": "No images were made in the last 30 days.",
  "usage.chart": "Credits used each day: {total} in 30 days, the most on {day} with {most}.",
  "usage.table": "Credits used each day",
  "usage.bar": "{day}, {workflow}: {credits}",
  "usage.day": "Day (UTC)",
  "usage.jobs": "Jobs",
  "usage.credits": "Credits",
});

addWords(PLAN_WORDS);
