#pragma once

#include <nlohmann/json.hpp>

#include "tessera/finetune.h"
#include "train/order.h"

namespace tessera::train {

// InputError where a number is out of its range or two options contradict each
// other. What must be read from disk to be judged is not judged here.
void check_options(const FinetuneOptions& options);

// Every option by its name.
nlohmann::json to_json(const FinetuneOptions& options);

// Those on which the bits of a run depend, whatever the files hold: a resumed
// run must have the same.
nlohmann::json decisive(const FinetuneOptions& options);

// Of the rows that the model sees at once, and of all rows of an update: its
// batches together are the big batch that they stand for, row by row. The last
// update of an epoch may be shorter.
BatchShape batch_shape(const FinetuneOptions& options);
BatchShape update_shape(const FinetuneOptions& options);

std::string_view name_of(mx::Dtype dtype);

} // namespace tessera::train
