// Boost.JSON under a short name. The library is linked, never included header-only.
#pragma once

#include <boost/json.hpp>

namespace virga {
namespace json = boost::json;
}
