#include <nanobind/nanobind.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <exception>
#include <filesystem>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "arguments.h"
#include "bench/tune/file.h"
#include "bench/tune/tune.h"
#include "module.h"
#include "tessera/bench.h"
#include "tessera/doctor.h"
#include "tessera/error.h"

// What measures: calls whose arrays are random, by their shapes and features.
namespace tessera::python {

namespace {

using namespace nb::literals;

constexpr const char* op = "case";

// What the keywords say of a measurement.
struct Measurement {
  AttentionGrid grid;
  bool forward = true;
  bool backward = true;
  int rounds = 7;
};

template <class T>
T take(nb::handle value, const char* expected) {
  return required<T>(value, op, expected);
}

// One int for both, or the pair.
std::pair<int, int> both(nb::handle value, const char* expected) {
  if (nb::isinstance<nb::int_>(value)) {
    const int n = take<int>(value, expected);
    return {n, n};
  }
  if (!nb::isinstance<nb::sequence>(value) || nb::len(value) != 2) {
    wrong_type(op, expected, value);
  }
  return {take<int>(value[0], expected), take<int>(value[1], expected)};
}

std::vector<int> ints(nb::handle value, const char* expected) {
  return take<std::vector<int>>(value, expected);
}

const Readers<Measurement> readers = {
    {"dtype",
     [](auto& m, auto value) {
       m.grid.attention.dtype =
           take<mx::Dtype>(value, "a dtype that is an mlx.core.Dtype");
     }},
    {"batch_size",
     [](auto& m, auto value) {
       m.grid.attention.B = take<int>(value, "a batch_size that is an int");
     }},
    {"heads",
     [](auto& m, auto value) {
       std::tie(m.grid.attention.Hq, m.grid.attention.Hkv) =
           both(value, "heads that are an int or a pair (Hq, Hkv)");
     }},
    {"lengths",
     [](auto& m, auto value) {
       std::tie(m.grid.attention.Nq, m.grid.attention.Nk) =
           both(value, "lengths that are an int or a pair (Nq, Nk)");
     }},
    {"head_dim",
     [](auto& m, auto value) {
       m.grid.attention.D = m.grid.attention.Dv =
           take<int>(value, "a head_dim that is an int");
     }},
    {"value_dim",
     [](auto& m, auto value) {
       m.grid.value_dim = take<int>(value, "a value_dim that is an int");
     }},
    {"seq_lengths",
     [](auto& m, auto value) {
       m.grid.seq_lengths = ints(value, "seq_lengths that are ints");
     }},
    {"head_dims",
     [](auto& m, auto value) {
       m.grid.head_dims = ints(value, "head_dims that are ints");
     }},
    {"batch_sizes",
     [](auto& m, auto value) {
       m.grid.batch_sizes = ints(value, "batch_sizes that are ints");
     }},
    {"causal",
     [](auto& m, auto value) {
       m.grid.attention.causal = take<bool>(value, "causal that is a bool");
     }},
    {"window",
     [](auto& m, auto value) {
       m.grid.attention.window = window_of(value, op);
     }},
    {"prefix",
     [](auto& m, auto value) {
       m.grid.attention.prefix = take<int>(value, "a prefix that is an int");
     }},
    {"chunk",
     [](auto& m, auto value) {
       m.grid.attention.chunk = take<int>(value, "a chunk that is an int");
     }},
    {"segments",
     [](auto& m, auto value) {
       m.grid.attention.segments =
           ints(value, "segments that are the documents' lengths");
     }},
    {"softcap",
     [](auto& m, auto value) {
       m.grid.attention.softcap =
           take<float>(value, "a softcap that is a number");
     }},
    {"alibi",
     [](auto& m, auto value) {
       m.grid.attention.alibi = take<bool>(value, "alibi that is a bool");
     }},
    {"sinks",
     [](auto& m, auto value) {
       m.grid.attention.sinks = take<bool>(value, "sinks that is a bool");
     }},
    {"bias",
     [](auto& m, auto value) {
       m.grid.attention.bias =
           take<std::string>(value, "a bias that is a shape as a str");
     }},
    {"mask",
     [](auto& m, auto value) {
       m.grid.attention.mask =
           take<std::string>(value, "a mask that is a shape as a str");
     }},
    {"blocks",
     [](auto& m, auto value) {
       const auto sides = ints(value, "blocks that are two sides");
       if (sides.size() != 2) {
         reject(op, "expected blocks that are two sides; got {}", sides.size());
       }
       m.grid.attention.blocks = BlockSides{sides[0], sides[1]};
     }},
    {"dropout",
     [](auto& m, auto value) {
       m.grid.attention.dropout =
           take<float>(value, "a dropout that is a number");
     }},
    {"block_size",
     [](auto& m, auto value) {
       m.grid.attention.block_size =
           take<int>(value, "a block_size that is an int");
     }},
    {"forward",
     [](auto& m, auto value) {
       m.forward = take<bool>(value, "forward that is a bool");
     }},
    {"backward",
     [](auto& m, auto value) {
       m.backward = take<bool>(value, "backward that is a bool");
     }},
    {"rounds", [](auto& m, auto value) {
       m.rounds = take<int>(value, "rounds that are an int");
     }}};

Measurement measurement(const nb::kwargs& given) {
  Measurement m;
  read_keywords(op, readers, given, m);
  return m;
}

// Asks Python, from work that has given its lock up, whether Ctrl-C was
// pressed; the exception is kept until the work has come back.
class Signals {
 public:
  bool interrupted() {
    if (!error_) {
      nb::gil_scoped_acquire lock;
      if (PyErr_CheckSignals() != 0) {
        error_ = std::make_exception_ptr(nb::python_error());
      }
    }
    return error_ != nullptr;
  }

  void rethrow() const {
    if (error_) {
      std::rethrow_exception(error_);
    }
  }

 private:
  std::exception_ptr error_;
};

class Observer : public BenchmarkObserver {
 public:
  explicit Observer(Signals& signals) : signals_(signals) {}
  bool should_stop() override {
    return signals_.interrupted();
  }

 private:
  Signals& signals_;
};

std::string benchmark(const nb::kwargs& given) {
  const auto m = measurement(given);
  BenchmarkOptions options;
  options.grid = m.grid;
  options.forward = m.forward;
  options.backward = m.backward;
  options.rounds = m.rounds;
  Signals signals;
  Observer observer(signals);
  BenchmarkResult result;
  {
    nb::gil_scoped_release unlocked;
    result = benchmark_attention(options, &observer);
  }
  signals.rethrow();
  return benchmark_json(result);
}

nb::dict to_dict(const TunedPass& one) {
  nb::dict found;
  found["case"] = describe(one.attention);
  found["pass"] = one.pass;
  found["rows"] = one.best.rows;
  found["columns"] = one.best.columns;
  found["mlx_faster"] = one.best.mlx_faster;
  found["candidates"] = one.candidates;
  found["seconds"] = one.seconds;
  found["planned_seconds"] = one.planned_seconds;
  found["mlx_seconds"] =
      one.mlx_seconds ? nb::cast(*one.mlx_seconds) : nb::object(nb::none());
  return found;
}

Table table_of(const std::filesystem::path& file) {
  auto loaded = load_table(file);
  if (const auto* reason = std::get_if<std::string>(&loaded)) {
    reject("tune", "{} in {}", *reason, file.string());
  }
  return std::get<Table>(std::move(loaded));
}

nb::list tune_and_save(
    const std::filesystem::path& file, const nb::kwargs& given) {
  const auto m = measurement(given);
  const TuneOptions options{m.grid.cases(), m.forward, m.backward, m.rounds};
  auto table = table_of(file);
  std::vector<TunedPass> found;
  Signals signals;
  {
    nb::gil_scoped_release unlocked;
    table = tune(
        std::move(table),
        options,
        [&](const TunedPass& one) { found.push_back(one); },
        [&] { return signals.interrupted(); });
    save_table(table, file, false);
  }
  signals.rethrow();
  nb::list all;
  for (const auto& one : found) {
    all.append(to_dict(one));
  }
  return all;
}

std::string doctor(bool quick) {
  Diagnosis found;
  Signals signals;
  {
    nb::gil_scoped_release unlocked;
    found = diagnose({.quick = quick}, [&](const ExaminedCase&, int, int) {
      return !signals.interrupted();
    });
  }
  signals.rethrow();
  return diagnosis_json(found);
}

} // namespace

void add_cases(nb::module_& module) {
  module.def(
      "benchmark",
      &benchmark,
      "keywords"_a,
      "The JSON of a benchmark of random calls.");
  module.def(
      "tune",
      &tune_and_save,
      "file"_a,
      "keywords"_a,
      "Measures block sizes and saves them in the table `file`.");
  module.def(
      "doctor",
      &doctor,
      "quick"_a,
      "The JSON of an examination of this machine.");
  module.def("default_table_path", &default_table_path);
}

} // namespace tessera::python
