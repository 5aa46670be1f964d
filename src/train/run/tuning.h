#pragma once

#include <nlohmann/json.hpp>

#include "plan/table.h"
#include "tessera/finetune.h"

namespace tessera::train {

// The saved measurements that the attention of a run follows: what its folder
// recorded, where it is resumed, so that measuring again in between changes no
// bit; else the table in use. InputError where the record is damaged.
Table tuning_of(const FinetuneOptions& options);

// What of the table in use a model looks up, as config.json records it.
nlohmann::json tuning_record(const ModelConfig& model, mx::Dtype dtype);

} // namespace tessera::train
