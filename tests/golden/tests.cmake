# Golden reports against the shipped schemas; needs python3-jsonschema 4.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME golden_schemas
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/golden/validate.py)
  set_tests_properties(golden_schemas PROPERTIES LABELS golden)
endif()
