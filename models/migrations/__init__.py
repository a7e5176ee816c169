"""The migrations. They only add; none changes or drops what a site has."""
