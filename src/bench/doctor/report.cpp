#include <cmath>
#include <nlohmann/json.hpp>

#include "bench/output/facts.h"
#include "embedded/doctor_html.h"
#include "tessera/doctor.h"
#include "train/log/page.h"

namespace tessera {

namespace {

using nlohmann::json;

json case_json(const ExaminedCase& one) {
  json errors = json::object();
  json worst = one.errors.empty() ? json() : json(0.0);
  for (const auto& [name, error] : one.errors) {
    // JSON has no infinity: a result that is not a number at all.
    errors[name] = std::isfinite(error) ? json(error) : json("not finite");
    if (!worst.is_string()) {
      worst = std::isfinite(error) ? json(std::max(worst.get<double>(), error))
                                   : errors[name];
    }
  }
  json plans = json::object();
  for (const auto& [pass, plan] : one.plans) {
    plans[pass] = plan;
  }
  return {
      {"backend", one.backend},
      {"case", describe(one.attention)},
      {"right", one.failed.empty()},
      {"failed", one.failed},
      {"error", worst},
      {"errors", errors},
      {"plans", plans}};
}

} // namespace

std::string diagnosis_json(const Diagnosis& diagnosis) {
  auto object = bench::to_json(diagnosis.system);
  object["tessera"] = diagnosis.tessera_version;
  object["date"] = diagnosis.date;
  object["matmul_gflops"] = diagnosis.matmul_gflops;
  object["healthy"] = diagnosis.healthy();
  object["interrupted"] = diagnosis.interrupted;
  auto& checks = object["checks"] = json::array();
  for (const auto& one : diagnosis.cases) {
    checks.push_back(case_json(one));
  }
  using Handler = json::error_handler_t;
  return object.dump(2, ' ', false, Handler::replace) + "\n";
}

std::string diagnosis_html(const Diagnosis& diagnosis) {
  return train::page_of(doctor_html, diagnosis_json(diagnosis));
}

} // namespace tessera
