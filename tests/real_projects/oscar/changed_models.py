from django.db import models


class Shelf(models.Model):
    name = models.CharField(max_length=40, unique=True)
    aisle = models.CharField(max_length=10, blank=True, default="")

    class Meta:
        verbose_name_plural = "shelves"

    def __str__(self):
        return self.name


class StockPlace(models.Model):
    product = models.ForeignKey("catalogue.Product", on_delete=models.CASCADE, related_name="stock_places")
    shelf = models.ForeignKey(Shelf, on_delete=models.PROTECT, related_name="stock_places")
    quantity = models.PositiveIntegerField()
    counted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["product", "quantity"], name="stockplace_product_qty_idx")]

    def __str__(self):
        return f"{self.quantity} of {self.product} on {self.shelf}"


class Recount(models.Model):
    product = models.ForeignKey("catalogue.Product", on_delete=models.CASCADE, related_name="recounts")
    found = models.PositiveIntegerField()
    made_at = models.DateTimeField(auto_now_add=True)

    def __str__(self):
        return f"{self.found} of {self.product}"
