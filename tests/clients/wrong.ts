import type { components } from "./api.js";

export const photo: components["schemas"]["CatalogImage"] = { photo: "gid://shopify/Product/1" };
