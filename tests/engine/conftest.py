"""Being here, this file lets the tests in folders below find what the engine's tests share."""
