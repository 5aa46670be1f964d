#pragma once

#include "api/metal/executor_launcher.h"

namespace tessera::test {

// Keeps the texts of launches, and executes none of them: outputs are 0.
class TextLauncher : public ExecutorLauncher {
 public:
  std::vector<std::pair<metal::Plan, metal::Dispatch>> texts;

  void launch(
      const metal::Launch& launch,
      const std::vector<mx::array>& inputs,
      std::vector<mx::array>& outputs) override {
    auto dispatch = BoundLaunch(launch, inputs, outputs).dispatch();
    for (auto& output : outputs) {
      std::memset(output.data<char>(), 0, output.nbytes());
    }
    dispatch.buffers.clear();
    texts.emplace_back(launch.plan, dispatch);
  }
};

} // namespace tessera::test
