// Passkeys. The one script there is: it asks the authenticator and posts the answer with the form, as if it had been typed.
// Without it, or without passkeys in the browser, the forms it belongs to stay hidden.
"use strict";

(() => {
  const forms = document.querySelectorAll("form[data-passkey]");
  if (!window.PublicKeyCredential || forms.length === 0) return;

  const toBytes = (text) => {
    const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    return Uint8Array.from(plain, (c) => c.charCodeAt(0));
  };
  const toText = (buffer) => {
    let plain = "";
    for (const byte of new Uint8Array(buffer)) plain += String.fromCharCode(byte);
    return btoa(plain).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  };

  // The members of the options that are bytes arrive as base64url.
  const read = (options) => {
    const key = options.publicKey;
    key.challenge = toBytes(key.challenge);
    if (key.user) key.user.id = toBytes(key.user.id);
    for (const list of [key.excludeCredentials, key.allowCredentials]) {
      for (const entry of list ?? []) entry.id = toBytes(entry.id);
    }
    return { publicKey: key };
  };

  const write = (credential) => {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) response[name] = toText(credential.response[name]);
    }
    return JSON.stringify({
      id: credential.id,
      rawId: toText(credential.rawId),
      type: credential.type,
      response,
      extensions: {},
    });
  };

  const words = {
    NotAllowedError: "Nothing was chosen, or it took too long. Try again when you are ready.",
    InvalidStateError: "This authenticator already holds a passkey for this account.",
    SecurityError: "Passkeys do not work at this address.",
  };

  for (const form of forms) {
    const button = form.querySelector("button[type=button]");
    const status = form.querySelector("[role=status]");
    button.addEventListener("click", async () => {
      button.disabled = true;
      status.textContent = "Follow your browser…";
      try {
        const options = read(JSON.parse(form.dataset.options));
        const credential = form.dataset.passkey === "create"
          ? await navigator.credentials.create(options)
          : await navigator.credentials.get(options);
        form.elements.answer.value = write(credential);
        form.submit();
      } catch (error) {
        status.textContent = words[error.name] ?? "That did not work. Try again.";
        button.disabled = false;
      }
    });
  }
  for (const hidden of document.querySelectorAll("[data-passkey][hidden]")) hidden.hidden = false;
})();
