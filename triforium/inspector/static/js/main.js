// Begins: takes the token, settles the theme, and draws the frame around the present view.
import { html, render } from "./lib.js";
import { keepSession } from "./api.js";
import { settleTheme } from "./theme.js";
import { Frame } from "./frame.js";

settleTheme();
keepSession().finally(() => {
  const root = document.getElementById("app");
  root.replaceChildren();
  render(html`<${Frame} />`, root);
});
