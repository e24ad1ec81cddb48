// The precompiled header of model and what stands on it: base's, and the generated types.
#pragma once

#include "base/pch.h"
#include "vim/interfaces.h"
