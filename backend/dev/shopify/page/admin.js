// The stand-in admin. It shows the app in an iframe and does what App Bridge (`app-bridge.js`) asks
// for by postMessage: `{type, …}`, with an `id` where an answer is expected.

const boot = JSON.parse(document.getElementById("boot").textContent);
const $ = (selector) => document.querySelector(selector);
const frame = $("iframe");
const appOrigin = new URL(boot.launch).origin;
const post = (type, payload = {}) =>
  frame.contentWindow.postMessage({ type, ...payload }, appOrigin);

$("#shop").textContent = boot.shop;
frame.src = boot.launch;
$("#home").onclick = (event) => { event.preventDefault(); post("navigate", { path: "/" }); };

addEventListener("message", async ({ origin, source, data }) => {
  if (origin !== appOrigin || source !== frame.contentWindow) return;
  try {
    const value = await requests[data.type](data);
    if (data.id) post("answer", { id: data.id, value });
  } catch (error) {
    if (data.id) post("answer", { id: data.id, error: String(error.message) });
    else throw error;
  }
});
document.addEventListener("visibilitychange", () =>
  post("visibility", { hidden: document.hidden }));

const requests = {
  ready() {},
  async idToken() {
    const answer = await fetch(`/store/${boot.shop}/id_token`);
    if (!answer.ok) throw new Error(`The admin answered ${answer.status}`);
    return answer.text();
  },
  loading({ isLoading }) {
    $("#progress").hidden = !isLoading;
  },
  toast({ toast, text, isError, action, duration }) {
    const shown = element("p", { textContent: text, className: isError ? "error" : "" });
    shown.dataset.toast = toast;
    if (action)
      shown.append(button(action, () => { post("toastAction", { toast }); shown.remove(); }));
    $("#toasts").append(shown);
    setTimeout(() => {
      if (!shown.isConnected) return;
      shown.remove();
      post("toastDismiss", { toast });
    }, duration);
  },
  hideToast({ toast }) {
    document.querySelector(`[data-toast="${toast}"]`)?.remove();
  },
  menu({ items }) {
    const links = items.map(({ label, href }) => {
      const link = element("a", { textContent: label, href: boot.base + href });
      link.dataset.path = href;
      link.onclick = (event) => { event.preventDefault(); post("navigate", { path: href }); };
      return link;
    });
    $("#menu").replaceChildren(...links);
    markCurrent();
  },
  // The frame's own history entry is one of the tab's: with another one, "back" took two steps.
  address({ path }) {
    const locale = boot.locale === "en" ? {} : { locale: boot.locale };
    const url = new URL(boot.base + path.replace(/^\/(?=\?|$)/, ""), location.origin);
    for (const name of LAUNCH_PARAMETERS) url.searchParams.delete(name);
    for (const [name, value] of Object.entries(locale)) url.searchParams.set(name, value);
    history.replaceState(null, "", url);
    markCurrent();
  },
  titleBar({ heading, badges, actions }) {
    document.title = `${heading} · Atelier`;
    const title = element("h1", { textContent: heading });
    for (const text of badges)
      title.append(" ", element("span", { textContent: text, className: "badge" }));
    const bySlot = (slot) => actions.filter((action) => action.slot === slot).map(titleBarButton);
    $("#title-bar").replaceChildren(
      ...bySlot("breadcrumb-actions"), title,
      ...bySlot("secondary-actions"), ...bySlot("primary-action"),
    );
  },
  saveBar({ isShown, save, discard }) {
    $("#save-bar").hidden = !isShown;
    for (const [name, state] of Object.entries({ save, discard }))
      if (state) $(`[data-action=${name}]`).disabled = state.isDisabled || state.isLoading;
  },
  async leaveConfirmation() {
    return (await answered($("#leave"))) === "leave";
  },
  async resourcePicker({ options }) {
    const dialog = $("#picker");
    const plural = options.multiple ? "s" : "";
    $("#picker-title").textContent = `Select ${options.type}${plural}`;
    const resources = await pickable(options);
    showChoices(resources, options);
    const search = dialog.querySelector("[type=search]");
    search.value = options.query ?? "";
    search.oninput = () => filterChoices(search.value);
    filterChoices(search.value);
    if ((await answered(dialog)) !== "select") return undefined;
    const ids = [...dialog.querySelectorAll(":checked")].map((input) => input.value);
    return resources.filter(({ id }) => ids.includes(id));
  },
};

const LAUNCH_PARAMETERS =
  ["embedded", "hmac", "host", "id_token", "locale", "session", "shop", "timestamp"];

function markCurrent() {
  for (const link of document.querySelectorAll("#menu a"))
    if (new URL(link.href).pathname !== location.pathname) link.removeAttribute("aria-current");
    else link.setAttribute("aria-current", "page");
}

function titleBarButton({ slot, index, label, isDisabled, isLoading }) {
  const shown = button(label, () => post("titleBarAction", { slot, index }));
  shown.disabled = isDisabled || isLoading;
  shown.setAttribute("aria-busy", String(isLoading));
  if (slot === "primary-action") shown.className = "primary";
  return shown;
}

$("#save-bar").onclick = ({ target }) => {
  if (target.dataset.action) post("saveBarAction", { action: target.dataset.action });
};

// -- the resource picker

async function pickable(options) {
  const answer = await fetch(`/store/${boot.shop}/resources/${options.type}`);
  if (!answer.ok) throw new Error(`The admin answered ${answer.status}`);
  return answer.json();
}

function showChoices(resources, { multiple, selectionIds = [] }) {
  const chosen = new Set(selectionIds.map(({ id }) => id));
  const limit = typeof multiple === "number" ? multiple : multiple ? Infinity : 1;
  const choices = $("#picker .choices");
  choices.replaceChildren(...resources.map(({ id, title, images }) => {
    const type = limit > 1 ? "checkbox" : "radio";
    const input = element("input", { type, name: "choice", value: id });
    input.checked = chosen.has(id);
    const label = element("label");
    label.append(input);
    if (images?.[0])
      label.append(element("img", { alt: "", src: onThisServer(images[0].originalSrc) }));
    label.append(title);
    return label;
  }));
  const count = () => {
    const picked = choices.querySelectorAll(":checked").length;
    $("#picker .count").textContent = `${picked} selected`;
    $("#picker [value=select]").disabled = picked === 0;
    for (const input of choices.querySelectorAll("input:not(:checked)"))
      input.disabled = limit > 1 && picked >= limit;
  };
  choices.onchange = count;
  count();
}

function filterChoices(text) {
  for (const label of document.querySelectorAll("#picker .choices label"))
    label.hidden = !label.textContent.toLowerCase().includes(text.toLowerCase());
}

// Pictures that Shopify's CDN would serve are on this server.
function onThisServer(url) {
  const { pathname, search } = new URL(url);
  return pathname + search;
}

// -- elements

function element(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties);
}

function button(label, onclick) {
  return element("button", { type: "button", textContent: label, onclick });
}

async function answered(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  return dialog.returnValue;
}
