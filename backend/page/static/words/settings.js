// In English: what the screen Settings says.
import { addWords } from "../words.js";

export const SETTINGS_WORDS = /** @type {const} */ ({
  "settings.save": "Save",
  "settings.discard": "Discard",
  "settings.saved": "Settings saved",
  "settings.notLoaded": "The settings could not be loaded or saved",
  "settings.conflict": "Your changes are not saved",
  "settings.conflict.details": "Someone else has changed the settings since you opened this page.",
  "settings.conflict.show": "Discard mine and show the saved settings",
  "settings.invalid": "Not saved: check the marked fields",
  "settings.invalid.details": "At least one value is not possible.",
  "settings.retired": {
    one:
      "{count} rule no longer runs, because Atelier no longer offers what it does. Saving removes it.",
    other:
      "{count} rules no longer run, because Atelier no longer offers what they do. Saving removes them.",
  },
  "settings.spending": "Spending",
  "settings.spending.details":
    "What all rules together may spend in a day. A day begins at midnight UTC.",
  "settings.cap": "Daily limit",
  "settings.credits": "credits",
  "settings.spent": {
    one: "{count} credit spent today. At the limit, rules wait until the next day.",
    other: "{count} credits spent today. At the limit, rules wait until the next day.",
  },
  "settings.rules": "Rules",
  "settings.rules.details": "A rule makes images by itself when products change. At most {count}.",
  "settings.rules.none": "There are no rules",
  "settings.rules.none.details": "Images are made only when you ask for them.",
  "settings.rules.add": "Add rule",
  "settings.rule": "Rule {count}: {workflow}",
  "settings.rule.remove": "Remove rule",
  "settings.rule.removeThis": "Remove rule {count}",
  "settings.workflow": "What it makes",
  "settings.workflow.price": {
    one: "{workflow} ({count} credit)",
    other: "{workflow} ({count} credits)",
  },
  "settings.workflow.off":
    "Your Atelier does not offer this at the moment, so the rule does not run.",
  "settings.archived":
    "This entry is archived, so the rule does not run. Restore it in the catalog, or choose another one.",
  "settings.on": "When",
  "settings.on.product_created": "A product gets its first photo",
  "settings.on.image_changed": "A product's first photo changes",
  "settings.publish": "Publish without review when the check finds nothing wrong",
  "settings.publish.details": "Otherwise every image waits on the Review page.",
  "settings.position": "Place among the product's images",
  "settings.position.details": "Empty: after the others.",
  "settings.filter": "Only for products with",
  "settings.statuses": "Status",
  "settings.statuses.details": "None chosen: every status.",
  "settings.status.ACTIVE": "Active",
  "settings.status.DRAFT": "Draft",
  "settings.status.ARCHIVED": "Archived",
  "settings.status.UNLISTED": "Unlisted",
  "settings.vendors": "One of these vendors",
  "settings.product_types": "One of these product types",
  "settings.tags": "One of these tags",
  "settings.lines": "One a line. Empty: any.",
  "settings.problem.cap": "Enter a whole number from 0 to 1,000,000.",
  "settings.problem.on": "Choose at least one.",
  "settings.problem.position": "Enter a whole number from 1 to 250, or nothing.",
  "settings.problem.lines": "Enter at most 50 lines, each with at most 255 characters.",
  "settings.problem.other": "This value is not possible.",
});

addWords(SETTINGS_WORDS);
