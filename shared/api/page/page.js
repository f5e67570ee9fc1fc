"use strict";
// Loads the description, with the function key where the app wants one, and sends that key with whatever is tried out.
(() => {
  const HEADER = "x-functions-key";
  const asking = document.getElementById("asking");
  const trouble = document.getElementById("trouble");
  let key = "";

  const complain = (words) => {
    trouble.textContent = words;
    trouble.hidden = false;
  };

  const show = (spec) => {
    asking.hidden = trouble.hidden = true;
    // where this page is, the app is: another prefix, a gateway
    spec.servers = [{ url: new URL(".", location.href).pathname.replace(/\/$/, "") || "/" }];
    const ui = SwaggerUIBundle({
      spec,
      dom_id: "#description",
      deepLinking: true,
      displayRequestDuration: true,
      filter: true,
      tryItOutEnabled: true,
      validatorUrl: null,
      onComplete: () => key && ui.preauthorizeApiKey("key_in_header", key),
    });
  };

  const load = async () => {
    try {
      const answer = await fetch("openapi.json", { headers: key ? { [HEADER]: key } : {} });
      if (answer.ok) {
        show(await answer.json());
      } else if (answer.status === 401 || answer.status === 403) {
        asking.hidden = false;
        if (key) complain("The app does not take this key.");
      } else {
        complain(`The app answered openapi.json with status ${answer.status}.`);
      }
    } catch (error) {
      complain(`openapi.json cannot be read: ${error}`);
    }
  };

  asking.addEventListener("submit", (event) => {
    event.preventDefault();
    key = document.getElementById("key").value.trim();
    load();
  });
  load();
})();
