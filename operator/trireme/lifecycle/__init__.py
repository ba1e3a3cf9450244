"""From what is there to what to do: observe -> decide -> Decision. Pure: time enters as `now`, pods as records."""
