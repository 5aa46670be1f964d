#include "cli/flags.h"

#include "tessera/lora.h"

namespace tessera::cli {

CLI::Validator whole_number() {
  // CLI11 would wrap a sign around, and cut what is too large.
  return CLI::Validator(
      [](const std::string& text) {
        const bool digits = !text.empty() && text.size() <= 18 &&
            text.find_first_not_of("0123456789") == std::string::npos;
        return digits ? std::string()
                      : "expected a whole number below 10^18; got " + text;
      },
      "UINT");
}

void add_attention_flags(
    CLI::App& command, Implementation& implementation, int& block_size) {
  static const std::map<std::string, Implementation> kNames = {
      {"auto", Implementation::automatic},
      {"on", Implementation::tessera},
      {"off", Implementation::mlx},
  };
  // Bare, the option's text is empty.
  command
      .add_option_function<std::string>(
          "--use-flash-attention",
          [&implementation](const std::string& name) {
            implementation = kNames.at(name.empty() ? "on" : name);
          },
          "Attention: on (also bare) is Tessera's, off is MLX's, auto picks")
      ->expected(0, 1)
      ->check(CLI::IsMember({"", "auto", "on", "off"}))
      ->option_text("{auto,on,off}");
  command.add_option(
      "--flash-block-size",
      block_size,
      "Rows and columns of an attention tile; 0: planned");
}

void add_dtype_flag(
    CLI::App& command,
    std::optional<mx::Dtype>& dtype,
    const std::string& description) {
  static const std::map<std::string, mx::Dtype> kNames = {
      {"float32", mx::float32},
      {"fp32", mx::float32},
      {"float16", mx::float16},
      {"fp16", mx::float16},
      {"bfloat16", mx::bfloat16},
      {"bf16", mx::bfloat16},
  };
  command
      .add_option_function<std::string>(
          "--dtype",
          [&dtype](const std::string& name) { dtype = kNames.at(name); },
          description)
      ->check(CLI::IsMember(kNames))
      ->option_text("{float32,float16,bfloat16}");
}

void add_base_flag(CLI::App& command, bool& allow) {
  command.add_flag(
      "--allow-other-base",
      allow,
      "Take an adapter that was trained on another model");
}

void add_model_flags(CLI::App& command, ModelFlags& flags) {
  command
      .add_option(
          "--model",
          flags.model,
          "Hugging Face folder: config.json, *.safetensors, "
          "tokenizer.json")
      ->required();
  command.add_option(
      "--adapter-path",
      flags.adapter_path,
      "Folder of a LoRA adapter: what `finetune` wrote, mlx-lm's or PEFT's");
  add_base_flag(command, flags.allow_other_base);
  add_dtype_flag(command, flags.dtype);
  add_attention_flags(command, flags.implementation, flags.block_size);
}

LoadedModel load_model(const ModelFlags& flags) {
  const auto config = read_config(flags.model / "config.json");
  const auto dtype = flags.dtype.value_or(
      mx::default_device() == mx::Device::cpu ? mx::float32 : mx::bfloat16);
  LoadedModel loaded{
      config,
      load_parameters(flags.model, config, dtype),
      Tokenizer::load(flags.model / "tokenizer.json"),
      {}};
  loaded.forward.attention.implementation = flags.implementation;
  loaded.forward.attention.block_size = flags.block_size;
  if (!flags.adapter_path.empty()) {
    auto adapter = load_adapter(flags.adapter_path, config);
    if (!flags.allow_other_base) {
      check_base(adapter.base, base_model(flags.model), flags.adapter_path);
    }
    loaded.forward.lora_scale = adapter.config.factor();
    loaded.parameters.merge(adapter.parameters);
  }
  return loaded;
}

} // namespace tessera::cli
