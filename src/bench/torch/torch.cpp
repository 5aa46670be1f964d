#include "bench/torch/torch.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "bench/torch/exchange.h"
#include "check/case.h"
#include "embedded/torch_script.h"
#include "tessera/error.h"

namespace tessera::bench {

namespace {

using nlohmann::json;

json ask(Child& child, const json& request) {
  const auto answer = json::parse(child.ask(request.dump()), nullptr, false);
  return answer.is_object() ? answer : json{{"error", "the process has ended"}};
}

json shape_of(
    const std::string& text, const AttentionCase& c, const char* what) {
  return text.empty() ? json() : json(resolve(text, c, what));
}

json to_json(const AttentionCase& c, const std::optional<mx::array>& mask) {
  const auto number = [](const auto& x) {
    return x ? json(*x) : json();
  };
  const auto window = c.window.value_or(Window{});
  return {
      {"dtype", dtype_name(c.dtype)},
      {"B", c.B},
      {"Hq", c.Hq},
      {"Hkv", c.Hkv},
      {"Nq", c.Nq},
      {"Nk", c.Nk},
      {"D", c.D},
      {"Dv", c.Dv},
      {"causal", c.causal},
      {"window", {number(window.left), number(window.right)}},
      {"prefix", number(c.prefix)},
      {"chunk", number(c.chunk)},
      {"segments", c.segments},
      {"softcap", number(c.softcap)},
      {"alibi", c.alibi},
      {"sinks", c.sinks},
      {"bias", shape_of(c.bias, c, "--bias")},
      {"mask", mask ? json(mask->shape()) : json()},
      {"dropout", c.dropout}};
}

class TorchContender : public Contender {
 public:
  TorchContender(Child& child, const Arrays& arrays)
      : child_(child), arrays_(arrays) {
    const Exchange exchange;
    const auto mask = kept(arrays);
    exchange.put("Q", arrays.Q);
    exchange.put("K", arrays.K);
    exchange.put("V", arrays.V);
    exchange.put("dO", arrays.dO);
    if (mask) {
      exchange.put("mask", *mask);
    }
    if (arrays.options.bias) {
      exchange.put("bias", *arrays.options.bias);
    }
    const auto answer =
        ask(child,
            {{"case", to_json(arrays.attention, mask)},
             {"folder", exchange.folder().string()}});
    skipped = answer.value("error", answer.value("skipped", std::string()));
  }

  double time(Pass pass) override {
    return asked({{"time", name_of(pass)}}).at("seconds").get<double>();
  }

  // Of Q, K and V alone. Dropout is another in each library.
  std::optional<Values> values(const mx::array& dO, bool backward) override {
    if (arrays_.attention.dropout > 0) {
      return std::nullopt;
    }
    const Exchange exchange;
    exchange.put("dO", dO);
    asked({{"values", exchange.folder().string()}, {"backward", backward}});
    const auto get = [&](const char* name, const mx::array& like) {
      return mx::astype(exchange.get(name, like.shape()), like.dtype());
    };
    Values values{get("O", dO), {}};
    if (backward) {
      values.gradients = {
          get("dQ", arrays_.Q), get("dK", arrays_.K), get("dV", arrays_.V)};
    }
    return values;
  }

  // Of the process, and known only where no earlier case held more.
  std::optional<std::int64_t> memory(bool backward) override {
    const auto pass = backward ? Pass::backward : Pass::forward;
    const auto answer = asked({{"memory", name_of(pass)}});
    const auto memory = answer.value("memory", json());
    return memory.is_null() ? std::nullopt
                            : std::optional(memory.get<std::int64_t>());
  }

 private:
  static std::string name_of(Pass pass) {
    return pass == Pass::forward ? "forward" : "backward";
  }

  json asked(const json& request) {
    auto answer = ask(child_, request);
    if (answer.contains("error")) {
      throw Failure(answer["error"].get<std::string>());
    }
    return answer;
  }

  Child& child_;
  Arrays arrays_;
};

} // namespace

Torch::Torch(const std::string& python, int threads)
    : child_({python, "-c", std::string(torch_script)}) {
  const auto answer = ask(child_, {{"threads", threads}});
  if (answer.contains("error")) {
    reject(
        "bench",
        "expected a Python with PyTorch for --torch; got {} ({})",
        python,
        answer["error"].get<std::string>());
  }
  version_ = answer.value("version", "");
}

std::unique_ptr<Contender> Torch::contender(const Arrays& arrays) {
  auto contender = std::make_unique<TorchContender>(child_, arrays);
  contender->name = "torch";
  contender->path = "torch " + version_;
  return contender;
}

} // namespace tessera::bench
