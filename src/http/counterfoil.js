/* Counterfoil: keeps the landing URL's click token for signup forms. */
(function (d, w) {
  var mode = "{mode}", days = {days}, key = "cfoil", field = "input[name=cfoil]", good = /^[\w-]{40,200}$/, me = d.currentScript || d.querySelector("[src*='/counterfoil.js']") || {};
  var found = new URLSearchParams(location.search).get(key) || "";
  var token = good.test(found) ? found : "";
  function read() {
    var pair = ("; " + d.cookie).split("; " + key + "=")[1], kept;
    try { kept = JSON.parse(localStorage.getItem(key)); } catch (e) { kept = 0; }
    kept = kept && kept.until > Date.now() ? kept.token : (pair || "").split(";")[0];
    return good.test(kept) ? kept : "";
  }
  function keep() {
    var domain = me.getAttribute && me.getAttribute("data-domain");
    if (!token || mode === "never") return;
    try { localStorage.setItem(key, JSON.stringify({ token: token, until: Date.now() + days * 864e5 })); } catch (e) {}
    d.cookie = key + "=" + token + ";path=/;max-age=" + days * 86400 + ";samesite=lax" +
      (location.protocol === "https:" ? ";secure" : "") + (domain ? ";domain=" + domain : "");
  }
  function fill() {
    if (!token) return;
    d.querySelectorAll("form[data-counterfoil]").forEach(function (form) {
      if (form.querySelector(field)) return;
      var input = d.createElement("input");
      input.type = "hidden";
      input.name = key;
      form.appendChild(input);
    });
    d.querySelectorAll(field).forEach(function (input) { input.value = token; });
  }
  if (mode === "always") keep();
  token = token || (mode === "never" ? "" : read());
  fill();
  d.addEventListener("DOMContentLoaded", fill);
  d.addEventListener("submit", fill, true);
  w.counterfoil = {
    click: function () { return token; },
    consent: function () {
      keep();
      if (token && mode === "on_consent" && me.src)
        fetch(new URL("/counterfoil/consent?" + key + "=" + token, me.src), { method: "POST", credentials: "include" })
          .catch(function () {});
    }
  };
})(document, window);
